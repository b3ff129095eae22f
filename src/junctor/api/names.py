"""Names that appear in Kubernetes objects: API group, labels, annotations, field managers."""

from typing import Final

GROUP: Final = "junctor.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "junctor"

CONNECTOR_KIND: Final = "MCPConnector"
CONNECTOR_PLURAL: Final = "mcpconnectors"
CONNECTOR_CRD: Final = f"{CONNECTOR_PLURAL}.{GROUP}"

REGISTRY_KIND: Final = "MCPRegistry"
REGISTRY_PLURAL: Final = "mcpregistries"
REGISTRY_CRD: Final = f"{REGISTRY_PLURAL}.{GROUP}"

#: On an MCPRegistry: a new value asks for a sync now; the digest that a condition named accepts that many servers vanished.
SYNC_REQUESTED_ANNOTATION: Final = f"{GROUP}/sync-requested-at"
ACCEPT_SHRINK_ANNOTATION: Final = f"{GROUP}/accept-shrink"

#: On a Secret of a connector's namespace: "true" lets Junctor read it. The operator's own credential Secrets carry PUBLISHED
#: instead, so that one server-side selector (the label exists) covers both.
CREDENTIALS_LABEL: Final = f"{GROUP}/credentials"
CREDENTIALS_READABLE: Final = "true"
CREDENTIALS_PUBLISHED: Final = "published"

#: On every object of a connector map: the name of the map.
MAP_LABEL: Final = f"{GROUP}/connector-map"
#: On gateway pods: the name of the gateway in the operator's configuration.
GATEWAY_LABEL: Final = f"{GROUP}/gateway"
#: On the two CRDs, so that the operator's watch of CRDs is narrow.
CRD_LABEL: Final = "app.kubernetes.io/part-of"
CRD_LABEL_VALUE: Final = "junctor"

FIELD_MANAGER: Final = "junctor-operator"
