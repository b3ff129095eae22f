"""A light MCP server in a process of its own: the Python SDK's on uvicorn with uvloop. `python -m tests.bench.gateway_light_mcp PORT`."""

import sys

import uvicorn

from tests.support.mcp_servers import sdk_server

if __name__ == "__main__":
    uvicorn.run(sdk_server().streamable_http_app(), port=int(sys.argv[1]), loop="uvloop", log_level="critical", ws="none")
