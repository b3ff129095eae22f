"""Servers as registries list them, made by a rule: the same number always gives the same servers.

    rows = servers(80_000)                       # about 100,000 versions, in the order of a registry; seconds, 150 MB
    row = record("io.github.acme/weather", "1.2.0", remotes=[remote("https://weather.example.com/mcp")])
    [*servers(200), *DIRTY.values()]             # with records that break the schema

`outcome` of a row: why a resource without filter, credentials and allow-flags does not publish it; None when it does.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from junctor.api.conditions import SkipReason

OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
SCHEMA: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
#: When the first server was published, seconds since the epoch; each later one comes a minute after.
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

_OWNERS: Final = ("acme", "Globex", "initech-labs", "Umbrella.Corp", "hooli", "Wayne-Enterprises", "stark.industries", "cyberdyne")
_SPACES: Final = ("io.github", "com", "ai", "dev", "io.GitLab", "org")
_WORDS: Final = ("weather", "Calendar", "search", "jira", "mail_box", "GeoCoder", "sql", "notes", "billing", "video.tools")
_DESCRIPTIONS: Final = (
    "Forecasts and warnings for any place",
    "Wettervorhersagen für Köln, Zürich und Malmö",
    "天気予報と警報を取得します",
    "Read, create and update tickets; ask before anything is deleted 🎫",
    'Full text search with "quotes", back\\slashes and <tags>',
)
_VERSIONS: Final = ("1.0.0", "0.9.1", "1.2.0-beta.1", "v2", "2026.05.17", "1.10.0", "3.0.0+build.7")
#: Kinds of servers, in a hundred.
MIX: Final[Mapping[str, int]] = {
    "http": 48, "sse": 5, "both": 5, "optional-header": 5, "default-variable": 5, "deprecated": 3,
    "secret-header": 8, "required-variable": 3, "package": 13, "insecure": 2, "private": 1, "deleted": 2,
}  # fmt: skip
#: Only servers that are published.
PUBLISHED: Final[Mapping[str, int]] = {"http": 80, "sse": 5, "both": 5, "optional-header": 5, "default-variable": 5}


@dataclass(frozen=True, slots=True)
class Row:
    """One version of one server. updated: seconds since the epoch. body: the record as JSON."""

    name: str
    version: str
    body: bytes
    updated: float = EPOCH
    latest: bool = True
    status: str = "active"
    outcome: SkipReason | None = None

    @property
    def value(self) -> Any:
        """The record."""
        return json.loads(self.body)


def servers(count: int, *, seed: int = 1, mix: Mapping[str, int] = MIX, older: bool = True) -> list[Row]:
    """The versions of `count` servers by name and version. older: every fourth server has one to three older versions as well."""
    chance = random.Random(seed)
    kinds = chance.choices(list(mix), weights=list(mix.values()), k=count)
    rows = []
    for number, kind in enumerate(kinds):
        owner, space, word = (names[number * step % len(names)] for names, step in ((_OWNERS, 1), (_SPACES, 5), (_WORDS, 7)))
        name = f"{space}.{owner}/{word}-{number}"
        versions = _VERSIONS[number % 7 :][:1]
        if older and number % 4 == 0:
            versions = tuple(f"0.{minor}.0" for minor in range(number // 4 % 3 + 1)) + versions
        status, outcome, remotes = _kind(kind, name, number)
        for age, version in enumerate(reversed(versions)):
            rows.append(
                record(
                    name,
                    version,
                    remotes=remotes,
                    packages=[_PACKAGE] if kind in ("package", "both") else None,
                    description=_DESCRIPTIONS[number % len(_DESCRIPTIONS)],
                    title=f"{word.capitalize()} of {owner}" if number % 3 else None,
                    updated=EPOCH + 60 * number - 3600 * age,
                    latest=age == 0,
                    status=status,
                    outcome=outcome,
                )
            )
    return sorted(rows, key=lambda row: (row.name, row.version))


def record(
    name: str,
    version: str = "1.0.0",
    *,
    remotes: Sequence[Mapping[str, Any]] | None = None,
    packages: Sequence[Mapping[str, Any]] | None = None,
    description: str = "Forecasts and warnings for any place",
    title: str | None = None,
    updated: float = EPOCH,
    latest: bool = True,
    status: str = "active",
    outcome: SkipReason | None = None,
) -> Row:
    """A row as the official registry has it."""
    server: dict[str, Any] = {"$schema": SCHEMA, "name": name, "description": description, "version": version}
    given = {"title": title, "remotes": remotes, "packages": packages}
    server |= {key: value for key, value in given.items() if value is not None}
    return Row(name, version, encoded(server, updated, latest, status), updated, latest, status, outcome)


def encoded(server: Mapping[str, Any], updated: float, latest: bool, status: str) -> bytes:
    """A record with what the registry says about it."""
    time = datetime.fromtimestamp(updated, UTC).isoformat().replace("+00:00", "Z")
    meta = {"status": status, "statusChangedAt": time, "publishedAt": time, "updatedAt": time, "isLatest": latest}
    return json.dumps({"server": server, "_meta": {OFFICIAL: meta}}, ensure_ascii=False, separators=(",", ":")).encode()


def remote(url: str, kind: str = "streamable-http", **more: Any) -> dict[str, Any]:
    """An address of a server. more: headers, variables."""
    return {"type": kind, "url": url, **more}


_PACKAGE: Final[Mapping[str, Any]] = {
    "registryType": "npm",
    "identifier": "@acme/weather",
    "version": "1.0.0",
    "transport": {"type": "stdio"},
    "environmentVariables": [{"name": "ACME_TOKEN", "description": "Token of your account", "isRequired": True, "isSecret": True}],
}
_SECRET_HEADER: Final[Mapping[str, Any]] = {
    "name": "Authorization",
    "value": "Bearer {token}",
    "isRequired": True,
    "isSecret": True,
    "variables": {"token": {"description": "Token of your account", "isRequired": True, "isSecret": True}},
}
_OPTIONAL_HEADER: Final = {"name": "X-Region", "description": "Nearest region", "default": "eu", "choices": ["eu", "us"]}


def _kind(kind: str, name: str, number: int) -> tuple[str, SkipReason | None, list[dict[str, Any]] | None]:
    """Status, outcome and remotes of a kind of server."""
    host = f"s{number}.{name.split('/')[0].lower()}.example.com"
    url = f"https://{host}/mcp"
    match kind:
        case "http":
            return "active", None, [remote(url)]
        case "sse":
            return "active", None, [remote(f"https://{host}/sse", "sse")]
        case "both":
            return "active", None, [remote(f"https://{host}/sse", "sse"), remote(url)]
        case "optional-header":
            return "active", None, [remote(url, headers=[_OPTIONAL_HEADER])]
        case "default-variable":
            variables: dict[str, Any] = {"region": {"description": "Region", "default": "eu", "choices": ["eu", "us"]}}
            return "active", None, [remote(f"https://{host}/{{region}}/mcp", variables=variables)]
        case "deprecated":
            return "deprecated", None, [remote(url)]
        case "secret-header":
            return "active", SkipReason.CONFIGURATION_REQUIRED, [remote(url, headers=[_SECRET_HEADER])]
        case "required-variable":
            variables = {"tenant": {"description": "Your tenant", "isRequired": True}}
            return "active", SkipReason.CONFIGURATION_REQUIRED, [remote(f"https://{host}/{{tenant}}/mcp", variables=variables)]
        case "package":
            return "active", SkipReason.NO_REMOTE, None
        case "insecure":
            return "active", SkipReason.INSECURE_URL, [remote(f"http://{host}/mcp")]
        case "private":
            return "active", SkipReason.PRIVATE_ADDRESS, [remote(f"https://10.{number % 200}.0.1/mcp")]
        case "deleted":
            return "deleted", SkipReason.DELETED, [remote(url)]
    raise ValueError(f"there is no kind {kind!r}")


def _dirty(value: Any, name: str = "", outcome: SkipReason | None = SkipReason.INVALID_RECORD) -> Row:
    return Row(name, "1.0.0", json.dumps(value).encode(), outcome=outcome)


def _broken(name: str, outcome: SkipReason | None = SkipReason.INVALID_RECORD, **server: Any) -> Row:
    fields = {"name": name, "description": "d", "version": "1.0.0", "remotes": [remote("https://a.example.com/mcp")], **server}
    return _dirty({"server": fields}, name, outcome)


def _loop() -> dict[str, Any]:
    variables = {"a": {"value": "{b}"}, "b": {"value": "{a}"}}
    return remote("https://a.example.com/{a}", variables=variables)


#: Records that registries should not hold, by what is wrong with them. Some are usable all the same: outcome None.
DIRTY: Final[Mapping[str, Row]] = {
    "null": _dirty(None),
    "a string": _dirty("io.github.dirty/string"),
    "a list": _dirty([1, 2, 3]),
    "an empty object": _dirty({}),
    "server is null": _dirty({"server": None}),
    "no name": _dirty({"server": {"description": "d", "version": "1.0.0"}}),
    "name is a number": _dirty({"server": {"name": 7, "description": "d", "version": "1.0.0"}}),
    "name without a slash": _broken("io.github.dirty"),
    "name with two slashes": _broken("io.github.dirty/two/slashes"),
    "name with spaces": _broken("io.github.dirty/with spaces"),
    "name of 201 characters": _broken(f"io.github.dirty/{'n' * 185}"),
    "description is an object": _broken("io.github.dirty/description-object", description={"$ref": "#/definitions/x"}),
    "description of 10 MB": _broken("io.github.dirty/description-long", description="x," * 5_000_000),
    "1,000 remotes": _broken(
        "io.github.dirty/remotes-many", remotes=[remote(f"https://a{number}.example.com/mcp") for number in range(1000)]
    ),
    "remotes is an object": _broken("io.github.dirty/remotes-object", remotes={"$ref": "#/servers/0/server/remotes"}),
    "a remote is a string": _broken("io.github.dirty/remote-string", remotes=["https://a.example.com/mcp"]),
    "half of a surrogate pair": _broken("io.github.dirty/surrogate", title="\ud800"),
    "a loop of variables": _broken("io.github.dirty/loop", remotes=[_loop()]),
    "an unknown transport": _broken(
        "io.github.dirty/transport", SkipReason.UNSUPPORTED_TRANSPORT, remotes=[remote("https://a.example.com/mcp", "grpc")]
    ),
    "without the wrapper": _dirty(
        {"name": "io.github.dirty/flat", "description": "d", "version": "1.0.0", "remotes": [remote("https://a.example.com/mcp")]},
        "io.github.dirty/flat",
        None,
    ),
    "an empty repository": _broken("io.github.dirty/repository", None, repository={}),
    "the same remote twice": _broken("io.github.dirty/twice", None, remotes=[remote("https://a.example.com/mcp")] * 2),
    "unknown fields": _broken("io.github.dirty/more", None, more={"deep": [{}] * 100}, **{"$ref": "file:///etc/passwd"}),
}
