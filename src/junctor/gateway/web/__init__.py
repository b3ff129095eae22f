"""What every HTTP application of a gateway shares: middleware, error bodies, request ids."""
