"""The description of one server of a registry, as `describe_server` returns it and `junctor registries show` prints it."""

from typing import Required, TypedDict

from junctor.net.formats import KubernetesObjectView


class VersionDescription(TypedDict):
    """A version of a server. published: its day, "" when unknown."""

    version: str
    status: str
    published: str


class HeaderField(TypedDict, total=False):
    """The header that a variable is part of."""

    header: str


class HintFields(TypedDict, total=False):
    """What the publisher suggests for a value."""

    default: str
    choices: list[str]


class NeedDescription(HeaderField, HintFields):
    """A value that a remote takes. kind: header or variable. required: whether spec.credentials has to provide it."""

    kind: str
    name: str
    required: bool
    secret: bool


class RemoteDescription(TypedDict):
    """A place where the server can be called, and the values that it takes."""

    type: str
    url: str
    takes: list[NeedDescription]


class VerdictDescription(TypedDict, total=False):
    """Whether the server becomes a connector: where and under which id, or why not and what to do."""

    connector: Required[bool]
    url: str
    transport: str | None
    connectorID: str
    reason: str
    detail: str
    remedy: str


class Suggestion(TypedDict, total=False):
    """The entries of spec.credentials that the server needs. lacking: what prevents it from being a connector even with them."""

    credentials: list[KubernetesObjectView]
    lacking: str


class ChosenVersion(TypedDict):
    """The server and the version that is described, and the versions that the registry has."""

    name: str
    version: str
    versions: list[VersionDescription]


class RecordTexts(TypedDict, total=False):
    """What the record of the version says; empty when no record can be read."""

    status: str
    title: str
    description: str


class Places(TypedDict, total=False):
    """Where the server runs; empty when no record can be read."""

    remotes: list[RemoteDescription]
    packages: list[dict[str, str]]


class ServerDescription(ChosenVersion, RecordTexts, VerdictDescription, Places, Suggestion):
    """A server of a registry, in the version that is described."""
