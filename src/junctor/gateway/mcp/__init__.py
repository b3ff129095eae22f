"""MCP servers as the gateway uses them. The only package that imports the MCP SDK and httpx2."""
