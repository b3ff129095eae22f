"""`junctor registries`: what it says about a registry, beside what the registry holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from junctor.api.conditions import SkipReason
from junctor.api.registry import MCPRegistrySpec
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.records import ServerRecord
from junctor.registry.rules import MappingRules
from tests.support.fake_registry import Asked, Cursor, FakeRegistry, Status
from tests.support.mcp_servers import self_signed
from tests.support.ports import free_port
from tests.support.registry_data import DIRTY, Row, record, remote, servers
from tests.unit.cli.running import Result, run

URL = "https://weather.example.com/mcp"
TOKEN = {"name": "X-Token", "isRequired": True, "isSecret": True}
WEATHER = record("com.acme/weather", remotes=[remote(URL)], title="Weather")
MAPS = record("com.acme/maps", remotes=[remote("https://maps.example.com/mcp", headers=[TOKEN])])
LOCAL = record("org.globex/local", packages=[{"registryType": "npm", "identifier": "@acme/local", "version": "1.0.0"}])


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry([WEATHER, MAPS, LOCAL]) as registry:
        yield registry


def manifest(directory: Path, url: str, *more: dict[str, Any], **spec: Any) -> str:
    """A file with an MCPRegistry, and more objects."""
    body = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPRegistry", "metadata": {"name": "internal"}, "spec": {"url": url, **spec}}
    file = directory / "registry.yaml"
    file.write_text("---\n".join(json.dumps(item) + "\n" for item in (body, *more)))
    return str(file)


def secret(**values: str) -> dict[str, Any]:
    metadata = {"name": "registry", "labels": {"junctor.dev/credentials": "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def listed(*arguments: str) -> dict[str, Any]:
    """The answer of `registries list` as JSON."""
    result = run("registries", "list", *arguments, "-o", "json")
    assert result.code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def names(answer: dict[str, Any]) -> list[str]:
    return [server["name"] for server in answer["servers"]]


@pytest.mark.parametrize("published", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_server_published_in_no_year_is_shown(published: str) -> None:
    server = {"name": "com.acme/x", "version": "1.0.0", "remotes": [remote(URL)]}
    body = {"server": server, "_meta": {"io.modelcontextprotocol.registry/official": {"publishedAt": published, "isLatest": True}}}
    with FakeRegistry([WEATHER]) as registry:
        registry.fault = lambda asked: Status(200, json.dumps({**body, "servers": [body], "metadata": {}}).encode())
        result = run("registries", "show", registry.url, "com.acme/x")
    assert result.code == 0, result.stderr
    assert "1.0.0" in result.stdout


# --- list and search ----------------------------------------------------------------------------------------------------------------


def test_table_says_of_each_server_whether_it_would_become_a_connector(registry: FakeRegistry) -> None:
    result = run("registries", "list", registry.url)
    assert result.code == 0
    assert [line.split(maxsplit=4) for line in result.stdout.splitlines()] == [
        ["NAME", "VERSION", "STATUS", "TRANSPORT", "CONNECTOR"],
        ["com.acme/maps", "1.0.0", "active", "streamable-http", "ConfigurationRequired: it needs the header 'X-Token'"],
        ["com.acme/weather", "1.0.0", "active", "streamable-http", "yes"],
        ["org.globex/local", "1.0.0", "active", "-", "NoRemote"],
    ]
    assert result.stderr == "3 servers: 1 would become connectors, 2 not (ConfigurationRequired 1, NoRemote 1)\n"


def test_servers_of_many_pages_are_judged_as_their_records_ask_for() -> None:
    rows = [*servers(400), *DIRTY.values()]
    wanted = {row.name: row.outcome for row in rows if row.latest and row.name and row.outcome not in (None, SkipReason.INVALID_RECORD)}
    with FakeRegistry(rows) as registry:
        answer = listed(registry.url)
    found = {server["name"]: server for server in answer["servers"]}
    assert {name: found[name]["reason"] for name, outcome in wanted.items() if name in found} == {
        name: str(outcome) for name, outcome in wanted.items() if outcome is not SkipReason.DELETED
    }
    usable = {row.name for row in rows if row.latest and row.outcome is None}
    assert {name for name, server in found.items() if server["connector"]} == usable
    assert answer["counts"]["connectors"] == len(usable)


def test_yaml_is_the_same_as_json(registry: FakeRegistry) -> None:
    assert yaml.safe_load(run("registries", "list", registry.url, "-o", "yaml").stdout) == listed(registry.url)


def test_names_are_one_on_each_line(registry: FakeRegistry) -> None:
    assert run("registries", "list", registry.url, "-o", "names").stdout.splitlines() == [MAPS.name, WEATHER.name, LOCAL.name]


def test_globs_choose_servers_and_the_others_are_counted(registry: FakeRegistry) -> None:
    answer = listed(registry.url, "--include", "com.acme/*", "--exclude", "*/maps")
    assert names(answer) == [WEATHER.name]
    assert answer["counts"] == {"found": 3, "connectors": 1, "whole": True, "skipped": {"Filtered": 2}}


def test_limit_ends_the_walk() -> None:
    with FakeRegistry(servers(1000)) as registry:
        answer = listed(registry.url, "--limit", "7")
        assert len(answer["servers"]) == 7
        assert answer["counts"]["whole"] is False
        assert len(registry.requests) == 1


def test_search_asks_the_registry_for_part_of_a_name(registry: FakeRegistry) -> None:
    result = run("registries", "search", registry.url, "Weather", "-o", "names")
    assert result.stdout == f"{WEATHER.name}\n"
    assert registry.requests[-1].query["search"] == "Weather"


def test_registry_that_cannot_search_is_searched_all_the_same(registry: FakeRegistry) -> None:
    registry.manner.search = False
    assert run("registries", "search", registry.url, "weather", "-o", "names").stdout == f"{WEATHER.name}\n"


def test_text_of_publishers_cannot_control_the_terminal() -> None:
    rows = [record("com.acme/x", "1.0\x1b[2J\u202e", remotes=[remote(URL)], description="a\x1b]0;b\x07")]
    with FakeRegistry(rows) as registry:
        shown = run("registries", "list", registry.url).stdout + run("registries", "show", registry.url, "com.acme/x").stdout
        shown += "".join(run("registries", "show", registry.url, "com.acme/x", "-o", form).stdout for form in ("json", "yaml"))
    assert "com.acme/x" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


# --- with a manifest ----------------------------------------------------------------------------------------------------------------


def test_manifest_decides_as_the_operator_would(registry: FakeRegistry, tmp_path: Path) -> None:
    ref = {"secretKeyRef": {"name": "registry", "key": "token"}}
    credentials = [{"servers": ["com.acme/maps"], "hosts": ["maps.example.com"], "headers": [{"name": "X-Token", "valueFrom": ref}]}]
    file = manifest(tmp_path, registry.url, filter={"exclude": ["org.*"]}, credentials=credentials)
    answer = listed("--manifest", file)
    assert {server["name"]: server["connectorID"] for server in answer["servers"]} == {
        MAPS.name: "mcp::internal::com.acme/maps",
        WEATHER.name: "mcp::internal::com.acme/weather",
    }


def test_max_connectors_of_the_manifest_leaves_out_the_last_ones(tmp_path: Path) -> None:
    rows = [record(f"com.acme/{letter}", remotes=[remote(URL)]) for letter in "abc"]
    with FakeRegistry(rows) as registry:
        answer = listed("--manifest", manifest(tmp_path, registry.url, filter={"maxConnectors": 2}))
    assert [server.get("reason") for server in answer["servers"]] == [None, None, "LimitReached"]


def test_secret_beside_the_manifest_is_what_the_registry_is_asked_with(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.manner.key = "s3cret"
    auth = {"bearer": {"secretKeyRef": {"name": "registry", "key": "token"}}}
    without = run("registries", "list", "--manifest", manifest(tmp_path, registry.url, auth=auth))
    assert without.code == 1
    assert "key 'token' of Secret default/registry is not in" in without.stderr
    assert names(listed("--manifest", manifest(tmp_path, registry.url, secret(token="s3cret"), auth=auth)))


@pytest.mark.parametrize("text", ["", "a: [\n", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"])
def test_file_without_a_registry_is_one_clear_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(text)
    assert_failed(run("registries", "list", "--manifest", str(file)), str(file))


# --- towards the registry -----------------------------------------------------------------------------------------------------------


def test_token_comes_from_a_file_and_is_shown_nowhere(registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.manner.key = "s3cret"
    refused = run("registries", "list", registry.url)
    assert_failed(refused, "RegistryUnauthorized")
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    given = run("registries", "list", registry.url, "--bearer-file", str(file))
    assert (given.code, "s3cret" in given.stdout + given.stderr) == (0, False)
    monkeypatch.setenv("JUNCTOR_REGISTRY_BEARER_FILE", str(file))
    assert run("registries", "list", registry.url).code == 0


def test_secret_in_a_header_on_the_command_line_is_warned_of(registry: FakeRegistry, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret")
    safe = run("registries", "list", registry.url, "--header", f"X-Api-Key=@{file}", "--header", "X-Region=eu")
    assert {name: registry.requests[-1].headers.get(name) for name in ("x-api-key", "x-region")} == {
        "x-api-key": "s3cret",
        "x-region": "eu",
    }
    assert "warning" not in safe.stderr
    open_ = run("registries", "list", registry.url, "--header", "X-Api-Key=s3cret")
    assert open_.code == 0
    assert "warning: others on this machine can see the value of --header X-Api-Key; write X-Api-Key=@FILE" in open_.stderr
    assert "s3cret" not in open_.stderr


def test_certificate_of_a_private_authority_is_trusted_when_it_is_named(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with FakeRegistry([WEATHER], tls=(certificate, key)) as registry:
        assert_failed(run("registries", "list", registry.url), "RegistryTLSFailed")
        assert names(listed(registry.url, "--ca-file", str(certificate))) == [WEATHER.name]


@pytest.mark.parametrize("command", [("list",), ("search", "x"), ("show", "com.acme/weather")])
def test_what_is_no_registry_is_one_clear_line(registry: FakeRegistry, command: tuple[str, ...]) -> None:
    registry.fault = lambda _: Status(404, b"<html>nothing here</html>", "text/html")
    assert_failed(run("registries", command[0], registry.url, *command[1:]), "NotARegistry", "nothing here")


def test_registry_that_leads_in_a_circle_is_one_clear_line() -> None:
    with FakeRegistry(servers(300)) as registry:
        registry.fault = lambda _: Cursor("com:1")
        assert_failed(run("registries", "list", registry.url), "the registry cannot be read to its end")


def test_registry_that_is_down_is_one_clear_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert_failed(run("registries", "list", url), f"RegistryUnreachable: nothing accepts connections at {url}")


def assert_failed(result: Result, *said: str) -> None:
    assert (result.code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert [part for part in said if part not in result.stderr] == []


# --- show ---------------------------------------------------------------------------------------------------------------------------


def details(registry: FakeRegistry, name: str, *arguments: str) -> dict[str, Any]:
    result = run("registries", "show", registry.url, name, *arguments, "-o", "json")
    assert result.code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_versions_stand_with_the_newest_first_and_each_can_be_asked_for(registry: FakeRegistry) -> None:
    registry.publish(record(WEATHER.name, "1.10.0", remotes=[remote("https://new.example.com/mcp")]))
    registry.publish(record(WEATHER.name, "1.9.0", remotes=[remote(URL)], latest=False, status="deprecated"))
    latest = details(registry, WEATHER.name)
    assert [(item["version"], item["status"]) for item in latest["versions"]] == [
        ("1.10.0", "active"),
        ("1.9.0", "deprecated"),
        ("1.0.0", "active"),
    ]
    assert latest["url"] == "https://new.example.com/mcp"
    assert details(registry, WEATHER.name, "--version", "1.9.0")["url"] == URL


def test_version_that_the_registry_calls_the_latest_is_described_as_list_has_it() -> None:
    rows = [record("com.acme/x", "0.9.0", remotes=[remote(URL)], latest=False), record("com.acme/x", "v2", remotes=[remote(URL)])]
    with FakeRegistry(rows) as registry:
        assert details(registry, "com.acme/x")["version"] == listed(registry.url)["servers"][0]["version"] == "v2"


def test_registry_that_only_lists_is_understood(registry: FakeRegistry) -> None:
    registry.fault = lambda asked: Status(404, b"404 page not found", "text/plain") if asked.path.count("/") > 2 else None
    found = details(registry, WEATHER.name)
    assert (found["versions"][0]["version"], found["connector"]) == ("1.0.0", True)


def test_packages_are_listed_as_what_junctor_does_not_run(registry: FakeRegistry) -> None:
    assert details(registry, LOCAL.name)["packages"] == [{"registryType": "npm", "identifier": "@acme/local", "version": "1.0.0"}]
    assert "not runnable remotely" in run("registries", "show", registry.url, LOCAL.name).stdout


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [("com.acme/nothing", (), "has no server com.acme/nothing"), (WEATHER.name, ("--version", "9"), "has no version 9; it has 1.0.0")],
)
def test_what_is_not_there_is_one_clear_line(registry: FakeRegistry, name: str, arguments: tuple[str, ...], said: str) -> None:
    assert_failed(run("registries", "show", registry.url, name, *arguments), said)


def test_server_whose_record_cannot_be_read_says_why() -> None:
    row = DIRTY["1,000 remotes"]
    with FakeRegistry([row]) as registry:
        found = details(registry, row.name)
    assert (found["reason"], found["detail"]) == ("InvalidRecord", "it has 1000 remotes, at most 32 are read")


_TEMPLATE = {"name": "Authorization", "value": "Bearer {token}", "isRequired": True, "variables": {"token": {"isRequired": True}}}
_TENANT = {"tenant": {"isRequired": True, "choices": ["eu", "us"]}}
NEEDY = {
    "a header": remote(URL, headers=[TOKEN]),
    "a plain header": remote(URL, headers=[{"name": "X-Region", "isRequired": True, "choices": ["eu", "us"]}]),
    "Authorization": remote(URL, headers=[{"name": "Authorization", "isRequired": True}]),
    "a template": remote(URL, headers=[_TEMPLATE]),
    "a variable of the URL": remote("https://weather.example.com/{tenant}/mcp", variables=_TENANT),
    "a variable of the host": remote("https://{tenant}.example.com/mcp", variables=_TENANT),
    "a variable that is not declared": remote("https://weather.example.com/{tenant}/mcp"),
    "several": remote("https://{tenant}.example.com/mcp", variables=_TENANT, headers=[TOKEN, _TEMPLATE]),
    "an old transport": remote(URL, "sse", headers=[TOKEN]),
}


@pytest.mark.parametrize("wanted", NEEDY.values(), ids=NEEDY)
def test_credentials_that_are_proposed_make_it_a_connector(wanted: dict[str, Any]) -> None:
    row = record("com.acme/needy", remotes=[wanted])
    with FakeRegistry([row]) as registry:
        text = run("registries", "show", registry.url, row.name).stdout
    block = yaml.safe_load(text[text.index("\nspec:\n") :].partition("\nWith its Secret")[0])
    assert isinstance(outcome(row, {}), Skipped)
    entry = outcome(row, block["spec"])
    assert not isinstance(entry, Skipped), entry


def outcome(row: Row, spec: dict[str, Any]) -> Any:
    rules = MappingRules.of(MCPRegistrySpec.model_validate({"url": "https://registry.example.com", **spec}), "internal", "default")
    return map_server(ServerRecord.parse(row.value), rules)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (remote("http://weather.example.com/mcp", headers=[TOKEN]), "InsecureURL"),
        (remote("https://10.0.0.1/mcp", headers=[TOKEN]), "PrivateAddress"),
        (remote("https://a.example.com/{key}", variables={"key": {"isSecret": True}}), "a secret"),
    ],
)
def test_server_that_credentials_do_not_help_says_so(wanted: dict[str, Any], why: str) -> None:
    with FakeRegistry([record("com.acme/needy", remotes=[wanted])]) as registry:
        result = run("registries", "show", registry.url, "com.acme/needy")
    assert result.code == 0
    assert why in result.stdout


# --- snapshots ----------------------------------------------------------------------------------------------------------------------


def test_rendered_map_holds_what_the_snapshot_holds(tmp_path: Path) -> None:
    rows = [*servers(300), *DIRTY.values()]
    file = tmp_path / "snapshot.json.gz"
    with FakeRegistry(rows) as registry:
        url = registry.url
        assert run("registries", "list", url, "--save", str(file)).code == 0
    result = run("render", manifest(tmp_path, url), "--registry-snapshot", f"internal={file}")
    assert (result.code, result.stderr) == (0, "")
    entries = rendered(result)
    discovered = {entry["id"]: entry for entry in entries if "::" in entry["id"].removeprefix("mcp::")}
    assert set(discovered) == {f"mcp::internal::{row.name}" for row in rows if row.latest and row.outcome is None}
    assert all(entry["available"] for entry in discovered.values())


def rendered(result: Result) -> list[dict[str, Any]]:
    shards = [item["data"]["connectors.json"] for item in yaml.safe_load_all(result.stdout) if "connectors.json" in item["data"]]
    return [entry for shard in shards for entry in json.loads(shard)]


def test_snapshot_is_the_whole_registry_whatever_is_listed(registry: FakeRegistry, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json.gz"
    narrow = manifest(tmp_path, registry.url, filter={"search": "maps"})
    assert names(listed("--manifest", narrow, "--save", str(file))) == [MAPS.name]
    result = run("render", manifest(tmp_path, registry.url), "--registry-snapshot", f"internal={file}")
    assert "mcp::internal::com.acme/weather" in result.stdout


def test_credentials_of_a_snapshot_s_servers_are_printed_with_their_versions(registry: FakeRegistry, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json.gz"
    assert run("registries", "list", registry.url, "--save", str(file)).code == 0
    ref = {"secretKeyRef": {"name": "registry", "key": "token"}}
    credentials = [{"servers": ["com.acme/maps"], "hosts": ["maps.example.com"], "headers": [{"name": "X-Token", "valueFrom": ref}]}]
    path = manifest(tmp_path, registry.url, secret(token="s3cret"), credentials=credentials)
    result = run("render", path, "--with-credentials", "--registry-snapshot", f"internal={file}")
    assert result.code == 0, result.stderr
    (header,) = next(entry["headers"] for entry in rendered(result) if entry["id"] == "mcp::internal::com.acme/maps")
    values = {key: value for item in yaml.safe_load_all(result.stdout) if item["kind"] == "Secret" for key, value in item["data"].items()}
    assert values == {header["credential"]: "czNjcmV0"}


def test_without_a_snapshot_a_registry_is_only_itself_and_a_note_says_so(tmp_path: Path) -> None:
    result = run("render", manifest(tmp_path, "https://registry.example.com"))
    assert result.code == 0
    assert [entry["id"] for entry in rendered(result)] == ["mcp::internal"]
    assert "give them with --registry-snapshot internal=FILE" in result.stderr


def test_walk_that_breaks_leaves_no_snapshot_and_an_older_one_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json.gz"
    file.write_text("older")

    def fault(asked: Asked) -> Status | None:
        return Status(403) if asked.page == 3 else None

    with FakeRegistry(servers(500)) as registry:
        registry.fault = fault
        assert_failed(run("registries", "list", registry.url, "--save", str(file)), "RegistryUnauthorized")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("snapshot.json.gz", "older")]


def test_snapshot_that_cannot_be_written_is_one_clear_line(registry: FakeRegistry, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "snapshot.json.gz"
    assert_failed(run("registries", "list", registry.url, "--save", str(file)), f"{file} cannot be written: No such file or directory")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no snapshot of a registry"),
        (b"apiVersion: v1\n", "it is not JSON on each line"),
        (b'{"servers": []}\n', "is no snapshot of a registry"),
        (b'{"schema": "junctor.dev/registry-snapshot/v9"}\n', "v9, which this version does not know"),
        (b'{"schema": "junctor.dev/registry-snapshot/v1", "taken": "2026-01-01T00:00:00Z"}\n{"servers": 1}\n', "line 2 is no page"),
        (b"\x1f\x8b\x08\x00\x00", "is not whole"),
    ],
)
def test_file_that_is_no_snapshot_is_one_clear_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "snapshot"
    file.write_bytes(content)
    path = manifest(tmp_path, "https://registry.example.com")
    assert_failed(run("render", path, "--registry-snapshot", f"internal={file}"), str(file), said)


def test_snapshot_of_a_registry_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = run("render", manifest(tmp_path, "https://registry.example.com"), "--registry-snapshot", "other=x")
    assert result.code == 2
    assert "no valid MCPRegistry in the input has this id" in result.stderr


@pytest.mark.parametrize("strict", [False, True])
def test_secret_that_a_registry_lacks_is_a_warning_or_an_error(tmp_path: Path, strict: bool) -> None:
    auth = {"bearer": {"secretKeyRef": {"name": "registry", "key": "token"}}}
    path = manifest(tmp_path, "https://registry.example.com", auth=auth)
    result = run("validate", path, *(["--strict-references"] if strict else []))
    assert "MCPRegistry default/internal: SecretNotFound" in result.stdout
    assert (result.code, "warning: " in result.stdout) == ((1, False) if strict else (0, True))


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("search", "https://registry.example.com"),
        ("show", "https://registry.example.com"),
        ("list", "registry.example.com"),
        ("list", "https://user:s3cret@registry.example.com"),
        ("list", "https://registry.example.com", "--save", "x", "--limit", "1"),
        ("list", "https://registry.example.com", "--header", "s3cret"),
        ("list", "https://registry.example.com", "--header", "X-Key=s3cret\u00fc"),
        ("list", "https://registry.example.com", "--header", "X Key=s3cret"),
        ("list", "https://registry.example.com", "--include", ""),
        ("nothing",),
    ],
)
def test_wrong_usage_is_one_line_that_repeats_no_secret(arguments: tuple[str, ...]) -> None:
    result = run("registries", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "s3cret" not in result.stderr
