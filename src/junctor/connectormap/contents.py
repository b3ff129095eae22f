"""The contents of entries as a writer fills them in: of a connector, a registry and a discovered server.

Entries contain every default value, so that readers need no defaults of their own. The classes are not frozen: an instance exists only
until it has made its entry, and a frozen one with a dozen fields takes seven times as long to make, for each of 100,000 entries.
"""

from dataclasses import dataclass, field
from typing import Any

from junctor.connectormap.entry import Entry
from junctor.connectormap.policy import Policy, Subject, access_to_json
from junctor.connectormap.target import DEFAULT_TRANSPORT, CredentialRef, Header, Parts, headers_to_json, parts_to_json
from junctor.connectormap.view import ACCESS_FEATURE, CALLER_HEADERS_FEATURE, REGISTRY_FEATURE, URL_PARTS_FEATURE, Origin, RegistrySource


@dataclass(slots=True, kw_only=True)
class SharedContent:
    """The fields that the entries of connectors and registries share.

    access: who may use it; None for everybody. shows_path: whether callers see the path of the server's URL.
    """

    id: str
    origin: Origin
    policy: Policy
    ca_bundle: str | None = field(default=None, repr=False)
    access: frozenset[Subject] | None = None
    shows_path: bool = False

    def shared_json(self) -> dict[str, Any]:
        """The fields of the entry."""
        content = {"id": self.id, "origin": self.origin.to_json(), **self.policy.to_json()}
        if self.ca_bundle is not None:
            content["tls"] = {"caBundle": self.ca_bundle}
        if self.access is not None:
            # Unavailable entries have it too: a missing Secret must not reveal a connector to callers without access.
            content["access"] = access_to_json(self.access)
        if self.shows_path:
            content["showPath"] = True
        return content

    def required_features(self, *features: str) -> list[str]:
        """The features that readers need for these fields, and `features`: a reader without them lists the entry and does not use it."""
        by_field = ((ACCESS_FEATURE, self.access), (CALLER_HEADERS_FEATURE, self.policy.caller_headers))
        return sorted([*features, *[feature for feature, value in by_field if value is not None]])


@dataclass(slots=True, kw_only=True)
class ConnectorContent(SharedContent):
    """The connector of an MCPConnector.

    reason: why callers cannot use it; if set, headers and credentials are left out. hosts: those that may see its headers and token; None:
    the URL's. url_parts: the URL if it has credentials; `url` has variables in their places then.
    """

    url: str
    url_parts: Parts = field(default=(), repr=False)
    transport: str = DEFAULT_TRANSPORT
    title: str | None = None
    description: str | None = None
    headers: tuple[Header, ...] = ()
    bearer: CredentialRef | None = None
    reason: str = ""
    hosts: tuple[str, ...] | None = None

    def entry(self) -> Entry:
        """The entry of the connector."""
        content = self.shared_json()
        requires = self.required_features(*([URL_PARTS_FEATURE] if self.url_parts else ()))
        content |= {"available": not self.reason, "url": self.url, "transport": self.transport, "requires": requires}
        content |= _texts(self.title, self.description)
        if self.url_parts:
            content["urlParts"] = parts_to_json(self.url_parts)
        content |= {"reason": self.reason} if self.reason else headers_to_json(self.headers, self.bearer)
        if self.hosts is not None:
            content["hosts"] = list(self.hosts)
        return Entry.of(content)


@dataclass(slots=True, kw_only=True)
class RegistryContent(SharedContent):
    """The settings that all servers of a registry inherit; not a connector itself. public_only: private addresses are refused."""

    registry: RegistrySource
    public_only: bool = True

    def entry(self) -> Entry:
        """The entry of the registry."""
        return Entry.of(
            {
                **self.shared_json(),
                "available": True,
                "registry": {"id": self.registry.id, "url": self.registry.url},
                "addresses": "public" if self.public_only else "any",
                "requires": self.required_features(REGISTRY_FEATURE),
            }
        )


@dataclass(slots=True, kw_only=True)
class ServerContent:
    """A server that was discovered in a registry. hosts: those that may see its headers and token; None: nothing of the owner is sent."""

    id: str
    url: str
    transport: str
    version: str
    title: str | None = None
    description: str | None = None
    is_deprecated: bool = False
    headers: tuple[Header, ...] = ()
    bearer: CredentialRef | None = None
    hosts: tuple[str, ...] | None = None

    def entry(self) -> Entry:
        """The entry of the server."""
        headers = headers_to_json(self.headers, self.bearer)
        content: dict[str, Any] = {
            "id": self.id,
            "available": True,
            "url": self.url,
            "transport": self.transport,
            "version": self.version,
            "requires": [REGISTRY_FEATURE],
            **_texts(self.title, self.description),
            **headers,
        }
        if self.is_deprecated:
            content["deprecated"] = True
        if self.hosts is not None:
            content["hosts"] = list(self.hosts)
        return Entry.of(content, renamed=headers)


def _texts(title: str | None, description: str | None) -> dict[str, Any]:
    return ({"title": title} if title else {}) | ({"description": description} if description else {})
