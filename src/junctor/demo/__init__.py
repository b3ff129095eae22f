"""What `junctor demo` runs: its steps, a small MCP server, a scripted model server, and an application that uses the OpenAI client."""
