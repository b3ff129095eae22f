"""The target of an entry: the address of its server and what is sent to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from junctor.connectormap.errors import InvalidEntry

DEFAULT_TRANSPORT: Final = "Auto"


class CredentialRef(NamedTuple):
    """A secret value in its place. key: `<refhash>.<version>`, or `<refhash>` while the version is not known; see `credentials`."""

    key: str

    def to_json(self) -> dict[str, str]:
        """The reference in the map's form."""
        return {"credential": self.key}


#: A value: text and credentials, one after the other.
Parts = tuple[str | CredentialRef, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """An HTTP header. parts: its value, text and credentials one after the other."""

    name: str
    parts: Parts = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The header in the map's form: with `value`, `credential` or `parts`."""
        match self.parts:
            case [CredentialRef() as credential]:
                return {"name": self.name, **credential.to_json()}
            case parts if any(isinstance(part, CredentialRef) for part in parts):
                return {"name": self.name, "parts": parts_to_json(parts)}
        return {"name": self.name, "value": "".join(part for part in self.parts if isinstance(part, str))}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a header of an entry. Raises InvalidEntry."""
        match value:
            case {"name": str(name), "parts": [*parts]}:
                return cls(name, _parts(parts, "headers[].parts"))
            case {"name": str(name), "credential": str(key)}:
                return cls(name, (CredentialRef(key),))
            case {"name": str(name), "value": str(text)}:
                return cls(name, (text,))
        raise InvalidEntry("a header must have a name with a value, a credential or parts")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is and what is sent to it.

    url: "" when the entry has none. url_parts: the URL if it has credentials; `url` has variables in their places then.
    bearer: the token of the Authorization header. ca_bundle: PEM, instead of the public authorities.
    hosts: globs of the hosts that may see the headers and the token; None: the URL's, which the owner chose. public_only: the server is
    connected to at addresses of the public Internet only.
    """

    url: str = field(repr=False)
    transport: str = DEFAULT_TRANSPORT
    headers: tuple[Header, ...] = ()
    bearer: CredentialRef | None = None
    ca_bundle: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] | None = None
    public_only: bool = False
    url_parts: Parts = field(default=(), repr=False)

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """Read the target of an entry's content. Raises InvalidEntry."""
        url, transport, headers = content.get("url", ""), content.get("transport", DEFAULT_TRANSPORT), content.get("headers", [])
        if not isinstance(url, str) or not isinstance(transport, str) or not isinstance(headers, list):
            raise InvalidEntry("url and transport must be text, headers a list")
        return cls(
            url,
            transport,
            tuple(map(Header.parse, headers)),
            _bearer(content.get("auth")),
            _ca_bundle(content.get("tls")),
            parse_hosts(content.get("hosts")),
            content.get("addresses", "any") != "any",
            _parts(content.get("urlParts", []), "urlParts"),
        )


def parts_to_json(parts: Parts) -> list[str | dict[str, str]]:
    """A value in the map's form."""
    return [part if isinstance(part, str) else part.to_json() for part in parts]


def headers_to_json(headers: tuple[Header, ...], bearer: CredentialRef | None) -> dict[str, Any]:
    """The fields of an entry for the headers and the token of its server, as far as there are any."""
    fields: dict[str, Any] = {"headers": [header.to_json() for header in headers]} if headers else {}
    return fields if bearer is None else fields | {"auth": {"bearer": bearer.to_json()}}


def parse_hosts(value: object) -> tuple[str, ...] | None:
    """The hosts that may see the credentials of an entry. Raises InvalidEntry."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(host, str) for host in value):
        raise InvalidEntry("hosts must be a list of host names")
    return tuple(value)


def _parts(value: object, place: str) -> Parts:
    if not isinstance(value, list):
        raise InvalidEntry(f"{place} must be a list of texts and credentials")
    return tuple(part if isinstance(part, str) else _credential(part, place) for part in value)


def _bearer(value: object) -> CredentialRef | None:
    match value:
        case None | {"bearer": None}:
            return None
        case {"bearer": bearer}:
            return _credential(bearer, "auth.bearer")
        case dict():
            return None
    raise InvalidEntry("auth must be an object")


def _credential(value: object, place: str) -> CredentialRef:
    match value:
        case {"credential": str(key)}:
            return CredentialRef(key)
    raise InvalidEntry(f"{place} must name a credential")


def _ca_bundle(value: object) -> str | None:
    match value:
        case None:
            return None
        case {"caBundle": str(bundle)}:
            return bundle
        case dict() if "caBundle" not in value:
            return None
    raise InvalidEntry("tls.caBundle must be text")
