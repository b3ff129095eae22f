"""Reads MCP registries: the client of their API, what their records mean here, and the sync. Knows no Kubernetes."""
