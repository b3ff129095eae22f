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

#: Annotation of an MCPRegistry: a new value starts a sync now.
SYNC_REQUESTED_ANNOTATION: Final = f"{GROUP}/sync-requested-at"
#: Annotation of an MCPRegistry: a digest from its Synced condition confirms that many of its servers were really removed.
ACCEPT_SHRINK_ANNOTATION: Final = f"{GROUP}/accept-shrink"

#: Label of Secrets. Users set "true" to let Junctor read a Secret; the operator's own credential Secrets have "published", the Secret with
#: the key that signs a map has "signing-key". One server-side selector (the label exists) therefore covers all of them.
CREDENTIALS_LABEL: Final = f"{GROUP}/credentials"
CREDENTIALS_READABLE: Final = "true"
#: Annotation of such a Secret: the hosts that may get its values, names and globs with commas between them. Absent: any.
CREDENTIAL_HOSTS_ANNOTATION: Final = f"{GROUP}/credential-hosts"
CREDENTIALS_PUBLISHED: Final = "published"
CREDENTIALS_SIGNING_KEY: Final = "signing-key"

#: Label of every object of a connector map: the name of the map.
MAP_LABEL: Final = f"{GROUP}/connector-map"
#: Label of gateway pods: the name of the gateway in the operator's configuration.
GATEWAY_LABEL: Final = f"{GROUP}/gateway"
#: Label of the two CRDs, so that the operator watches only these.
CRD_LABEL: Final = "app.kubernetes.io/part-of"
CRD_LABEL_VALUE: Final = "junctor"

FIELD_MANAGER: Final = "junctor-operator"
