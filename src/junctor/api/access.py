"""Who may use a connector: `access` of a resource."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from junctor.api.base import ApiModel, Rule

#: Kubernetes gives every service account a user name that begins with this.
_SERVICE_ACCOUNT_USER = "system:serviceaccount:"


class Subject(ApiModel):
    """A caller or a group of callers, as the gateway's --callers authenticates them."""

    kind: Annotated[
        Literal["User", "Group", "ServiceAccount"],
        Field(
            description="User: one caller by name, such as the name of an API key. Group: every caller in the group. ServiceAccount: a "
            "service account of the cluster; only callers with a Kubernetes token are one."
        ),
    ]
    name: Annotated[str, Field(min_length=1, max_length=256, description="Name of the user, group or service account; case-sensitive.")]
    namespace: Annotated[
        str | None, Field(min_length=1, max_length=63, description="Namespace of the service account. Only for kind ServiceAccount.")
    ] = None

    rules: ClassVar = (
        Rule(
            cel="self.kind != 'ServiceAccount' || has(self.namespace)",
            message="a ServiceAccount needs its namespace; add it",
            field="namespace",
            check=lambda self: self.kind != "ServiceAccount" or self.namespace is not None,
        ),
        Rule(
            cel="self.kind == 'ServiceAccount' || !has(self.namespace)",
            message="only a ServiceAccount has a namespace; remove it, or set kind to ServiceAccount",
            field="namespace",
            check=lambda self: self.kind == "ServiceAccount" or self.namespace is None,
        ),
        Rule(
            cel=f"self.kind != 'User' || !self.name.startsWith('{_SERVICE_ACCOUNT_USER}')",
            message="a service account is not a User; use kind: ServiceAccount with its namespace and name",
            field="name",
            check=lambda self: self.kind != "User" or not self.name.startswith(_SERVICE_ACCOUNT_USER),
        ),
    )


class Access(ApiModel):
    """Who may use the connector. For everybody else it does not exist."""

    subjects: Annotated[
        tuple[Subject, ...] | None,
        Field(
            max_length=64,
            description="The users, groups and service accounts that may use the connector. Absent or empty: every caller that the gateway "
            "authenticates.",
            # Atomic: who may use a connector is one decision, and server-side apply has no sets of objects.
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.subjects) || self.subjects.all(a, self.subjects.exists_one(b, a == b))",
            message="duplicate subject; remove one",
            field="subjects",
            check=lambda self: len({(s.kind, s.namespace, s.name) for s in self.subjects or ()}) == len(self.subjects or ()),
        ),
    )
