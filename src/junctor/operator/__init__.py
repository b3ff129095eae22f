"""The operator on Kubernetes: kopf handlers that wake the loop, and the loop's ports on a real API server."""
