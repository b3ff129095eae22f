"""The contract that both planes share: resources, conditions, connector map, operator configuration. Pure models, no I/O."""
