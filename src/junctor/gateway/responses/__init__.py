"""The OpenAI Responses API: request model, tool loop, event stream."""
