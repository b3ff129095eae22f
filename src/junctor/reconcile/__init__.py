"""The loop: snapshot, plan, publish, signal, acknowledge, status. Knows neither kopf nor Kubernetes; talks through `ports`."""
