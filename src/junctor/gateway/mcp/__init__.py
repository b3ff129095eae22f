"""MCP servers as the gateway uses them. The only package that imports the MCP SDK and httpx2, which the SDK requires."""

from junctor.gateway.mcp.client import McpClient
from junctor.gateway.mcp.pool import McpClientPool

__all__ = ["McpClient", "McpClientPool"]
