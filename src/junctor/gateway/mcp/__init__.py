"""MCP servers as the gateway uses them. The only package that imports the MCP SDK and httpx2, which the SDK requires."""

from junctor.gateway.mcp.client import McpClient
from junctor.gateway.mcp.pool import McpClientPool
from junctor.gateway.mcp.target import Limits

__all__ = ["Limits", "McpClient", "McpClientPool"]
