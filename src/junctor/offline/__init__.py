"""Manifests without a cluster."""
