"""Where a gateway reads its connector map from."""
