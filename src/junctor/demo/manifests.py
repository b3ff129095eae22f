"""The manifests that the demo applies."""

GITHUB = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: github, namespace: team-a}
spec:
  connectorID: connector_github
  url: https://api.github.example/mcp
  description: Issues and pull requests
"""
GITHUB_CHANGED = GITHUB.replace("Issues and pull requests", "Issues, pull requests and releases")
GITHUB_BROKEN = GITHUB_CHANGED.replace("spec:\n", "spec:\n  title: [not closed\n")
WIKI = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: wiki, namespace: team-b}
spec:
  url: https://wiki.example/mcp
  auth: {bearer: {secretKeyRef: {name: wiki-token, key: token}}}
"""
WIKI_CREDENTIAL = """\
apiVersion: v1
kind: Secret
metadata:
  name: wiki-token
  namespace: team-b
  labels: {junctor.dev/credentials: "true"}
stringData: {token: not-a-real-token}
"""
RIVAL = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: rival, namespace: team-c}
spec:
  connectorID: connector_github
  url: https://rival.example/mcp
"""
_ORDERS = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: orders, namespace: team-d}
spec:
  connectorID: connector_orders
  url: URL/mcp
  description: Where orders are
"""


def orders(url: str) -> str:
    """Return the manifest of the connector for the demo's own MCP server. url: without the path."""
    return _ORDERS.replace("URL", url)
