"""The gateway: serves the published connector map to applications. Shares only the contract (`junctor.api`) with the operator."""
