"""Junctor without Kubernetes: the same loop on a directory of manifests, with the gateway in the same process."""
