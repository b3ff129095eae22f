"""Junctor: MCP servers declared as Kubernetes resources, used by name through the OpenAI Responses API."""

from importlib.metadata import version

__version__ = version("junctor")
