"""The gateway: an ASGI process that serves the connectors of the published map to applications.

GatewayError                the gateway cannot start
+-- ListenError             an address cannot be listened on (web.server)
+-- CallersError            `--callers` cannot work (auth)
    +-- CallersRequired     others can reach the public port, and --callers does not say who may call (app)
"""


class GatewayError(Exception):
    """The gateway cannot start; the message says what to do."""
