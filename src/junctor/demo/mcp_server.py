"""The MCP server of the demo, on the MCP SDK: `python -m junctor.demo.mcp_server DESCRIPTOR PARCEL`, with MCP at /mcp."""

import sys

from mcp.server.mcpserver import MCPServer

from junctor.demo.inherited_socket import serve


def orders_server(parcel: str) -> MCPServer:
    """Return a server with one tool, order_status. parcel: the number in its answer, which nothing else knows."""
    server = MCPServer("orders", log_level="WARNING")

    @server.tool()
    def order_status(order: str) -> str:
        """Where an order is."""
        return f"Order {order} is on its way: parcel {parcel}."

    return server


if __name__ == "__main__":
    serve(orders_server(sys.argv[2]).streamable_http_app(), int(sys.argv[1]))
