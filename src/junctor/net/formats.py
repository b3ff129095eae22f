"""Names for JSON whose format others define, so that a signature says whose format it takes.

Each name stands for an object of that format or a part of one; a `View` is one that is only read. What this project defines
itself has a class or a TypedDict instead.
"""

from collections.abc import Mapping
from typing import Any

#: An object of the Kubernetes API: a manifest, or a part such as metadata, spec, status or a condition.
KubernetesObject = dict[str, Any]
KubernetesObjectView = Mapping[str, Any]
#: A request, response, event, item, tool or error of OpenAI's Responses and Chat Completions APIs.
OpenAIObject = dict[str, Any]
OpenAIObjectView = Mapping[str, Any]
#: A message of the Model Context Protocol, or a part such as a content block or the arguments of a tool.
MCPObject = dict[str, Any]
MCPObjectView = Mapping[str, Any]
#: A record of the MCP Registry API, or a part of it.
RegistryObjectView = Mapping[str, Any]
#: A JSON Schema: of a tool's arguments, of structured output, or of a resource (OpenAPI v3).
JSONSchema = dict[str, Any]
JSONSchemaView = Mapping[str, Any]
