"""The contract between operator and gateways: the connector map and its parts. No pydantic, no I/O."""
