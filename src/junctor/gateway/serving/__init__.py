"""The connector map that a gateway serves: loading it, and what is served."""
