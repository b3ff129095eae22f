"""What `junctor demo` runs and tells: the story, a small MCP server, a scripted model, and code of an application."""
