"""What an entry says, by name: a typed, read-only view of its content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from junctor.connectormap.credentials import credentials_in
from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.policy import NOBODY, Policy, Subject, parse_access
from junctor.connectormap.target import Target, parse_hosts

#: The feature that an entry with `access` requires: a reader that does not know it would let everybody use the connector.
ACCESS_FEATURE: Final = "access/1"
#: The feature that the entries of a registry require: the entry of a discovered server inherits from its registry's entry, and its address
#: is checked at each connect.
REGISTRY_FEATURE: Final = "registry/1"
#: The feature that an entry with `callerHeaders` requires: a reader that does not know it would take other headers from callers.
CALLER_HEADERS_FEATURE: Final = "caller-headers/1"
#: The feature that an entry with `urlParts` requires: a reader that does not know it would call an address with variables in it.
URL_PARTS_FEATURE: Final = "url-parts/1"
#: The features that this version reads and writes. An entry that requires another one is listed as unavailable and never called.
FEATURES: Final = frozenset({"mcp/1", ACCESS_FEATURE, CALLER_HEADERS_FEATURE, REGISTRY_FEATURE, URL_PARTS_FEATURE})
#: Fields that only the entry of a registry has: its servers do not inherit them.
_REGISTRY_ONLY: Final = ("registry",)
#: The fields that `policy` consists of.
_POLICY: Final = frozenset({"callerAuthorization", "callerHeaders", "tools", "approval", "limits"})
#: Every version of `access` that may ever be required.
_ACCESS_FEATURES: Final = ACCESS_FEATURE.partition("/")[0] + "/"
UNKNOWN_REASON: Final = "Unavailable"


class Origin(NamedTuple):
    """The resource that an entry was made of."""

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int

    def to_json(self) -> dict[str, Any]:
        """The origin in the map's form."""
        kind, namespace, name, uid, generation = self
        return {"kind": kind, "namespace": namespace, "name": name, "uid": uid, "generation": generation}


class RegistrySource(NamedTuple):
    """The registry that a registry's entry stands for. url: its address."""

    id: str
    url: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """What an entry says, by name. `registry`, `target`, `policy` and `hosts` raise InvalidEntry for a form that is not known here.

    The entry of a discovered server has few fields of its own: `inherit_from` adds those of its registry's entry.
    """

    _content: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The connector id, or that of a registry's entry."""
        return str(self._content["id"])

    @property
    def title(self) -> str:
        """A name for people; "" for none."""
        return str(self._content.get("title") or "")

    @property
    def description(self) -> str:
        """What the server is for; "" when nobody says so."""
        return str(self._content.get("description") or "")

    @property
    def version(self) -> str:
        """The version of a discovered server; "" for other connectors."""
        return str(self._content.get("version") or "")

    @property
    def is_deprecated(self) -> bool:
        """Whether the registry calls a discovered server deprecated."""
        return self._content.get("deprecated") is True

    @property
    def is_available(self) -> bool:
        """Whether the writer lets the connector be used."""
        return self._content.get("available") is True

    @property
    def reason(self) -> str:
        """Why the writer does not let the connector be used, as one word; "" when it does."""
        return "" if self.is_available else str(self._content.get("reason") or UNKNOWN_REASON)

    @property
    def unknown_features(self) -> list[str]:
        """The features that the entry requires and this version does not know. A value that is not a list counts as one of them."""
        required = self._content.get("requires", [])
        if not isinstance(required, list):
            return [str(required)]
        return sorted(str(feature) for feature in required if not isinstance(feature, str) or feature not in FEATURES)

    @property
    def origin(self) -> Origin | None:
        """The resource that the entry was made of; None for a discovered server and for what is not understood."""
        match self._content.get("origin"):
            case {"kind": str(kind), "namespace": str(namespace), "name": str(name), "uid": str(uid), "generation": int(generation)}:
                return Origin(kind, namespace, name, uid, generation)
        return None

    @property
    def access(self) -> frozenset[Subject] | None:
        """Who may use the connector; None: everybody. NOBODY when the entry says so in a way that is not known here: it fails closed."""
        if any(feature.startswith(_ACCESS_FEATURES) for feature in self.unknown_features):
            return NOBODY
        return parse_access(self._content["access"]) if "access" in self._content else None

    @property
    def url(self) -> str:
        """The server's address; "" when the entry has none."""
        url = self._content.get("url")
        return url if isinstance(url, str) else ""

    @property
    def transport(self) -> str | None:
        """The MCP transport; None when the entry has no target."""
        transport = self._content.get("transport")
        return transport if isinstance(transport, str) else None

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Globs of the hosts that may see the credentials of a discovered server; None when nothing is sent. Raises InvalidEntry."""
        return parse_hosts(self._content.get("hosts"))

    @property
    def target(self) -> Target:
        """Where the server is and what is sent to it. Raises InvalidEntry."""
        return Target.parse(self._content)

    @property
    def policy(self) -> Policy:
        """How callers may use the server. Raises InvalidEntry."""
        return Policy.parse(self._content)

    @property
    def has_policy(self) -> bool:
        """Whether the entry says anything about its policy. Most discovered servers leave that to their registry's entry."""
        return not _POLICY.isdisjoint(self._content)

    @property
    def credentials(self) -> tuple[str, ...]:
        """The credentials that are named anywhere in the entry, each once, in order."""
        return credentials_in(self._content)

    @property
    def registry(self) -> RegistrySource:
        """The registry that a registry's entry stands for. Raises InvalidEntry."""
        match self._content.get("registry"):
            case {"id": str(registry_id), "url": str(url)}:
                return RegistrySource(registry_id, url)
        raise InvalidEntry("registry must have an id and a url")

    @property
    def caller_authorization(self) -> str | None:
        """The rule about authorization that callers bring, as it stands in the entry; None when it says nothing."""
        rule = self._content.get("callerAuthorization")
        return rule if isinstance(rule, str) else None

    @property
    def caller_headers(self) -> list[str] | None:
        """The only headers that callers may send, as they stand in the entry; None when it names none."""
        names = self._content.get("callerHeaders")
        return names if isinstance(names, list) else None

    @property
    def shows_path(self) -> bool:
        """Whether callers may see the path of the URL; else they see its scheme and host."""
        return self._content.get("showPath") is True

    @property
    def tools_json(self) -> dict[str, Any]:
        """The rules about tools as they stand in the entry, for the catalog."""
        return self._content.get("tools") or {}

    @property
    def approval_json(self) -> dict[str, Any]:
        """The rules about approval as they stand in the entry, for the catalog."""
        return self._content.get("approval") or {}

    def inherit_from(self, registry: Self) -> "EntryView":
        """What a discovered connector says together with its registry's entry: its own fields win, what both require adds up."""
        # A writer that says nothing has not said that private addresses are meant.
        shared = {"addresses": "public"} | {key: value for key, value in registry._content.items() if key not in _REGISTRY_ONLY}
        requires = _together(shared.get("requires", []), self._content.get("requires", []))
        return EntryView({**shared, **self._content, "requires": requires})


def _together(shared: Any, own: Any) -> Any:
    """What both require. What is no list stays as it is, so that it is refused."""
    for required in (shared, own):
        if not isinstance(required, list):
            return required
    return [*shared, *own]
