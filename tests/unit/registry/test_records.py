import json
from typing import Any

import pytest

from junctor.registry.records import InvalidRecord, ServerRecord
from tests.unit.registry.building import NAME, URL, raw, remote


def parsed(record: Any) -> ServerRecord:
    return ServerRecord.parse(record)


def problem(record: Any) -> str:
    with pytest.raises(InvalidRecord) as raised:
        parsed(record)
    return str(raised.value)


def test_a_record_tells_the_server_and_what_the_registry_says_about_it() -> None:
    variables = {"tenant": {"isRequired": True, "choices": ["blue", "green"], "default": "blue"}}
    header = {"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isSecret": True}}}
    record = parsed(raw(remote(variables=variables, headers=[header]), title="Weather", meta={"status": "deprecated"}))
    assert (record.name, record.version, record.title, record.description) == (NAME, "1.2.3", "Weather", "Forecasts.")
    assert (record.status, record.is_latest, record.published_at) == ("deprecated", True, 1760702400.0)
    assert record.updated_at == "2025-10-18T12:00:00Z"
    (found,) = record.remotes
    assert (found.type, found.url) == ("streamable-http", URL)
    tenant = found.variables["tenant"]
    assert (tenant.required, tenant.secret, tenant.default, tenant.choices) == (True, False, "blue", ("blue", "green"))
    assert (found.headers[0].name, found.headers[0].input.value) == ("Authorization", "Bearer {token}")
    assert found.headers[0].variables["token"].secret


def test_a_record_without_the_wrapper_is_read() -> None:
    wrapped = raw()
    assert parsed(wrapped["server"] | {"_meta": wrapped["_meta"]}) == parsed(wrapped)


def test_a_record_without_meta_is_an_active_server_of_unknown_age() -> None:
    record = parsed({"server": raw()["server"]})
    assert (record.status, record.is_latest, record.published_at, record.updated_at) == ("active", None, 0.0, "")


def test_the_status_may_stand_in_the_server() -> None:
    assert parsed(raw()["server"] | {"status": "deleted"}).status == "deleted"


def test_snake_case_is_read() -> None:
    header = {"name": "X-Key", "is_required": True, "is_secret": True}
    camel = {"name": "X-Key", "isRequired": True, "isSecret": True}
    meta = {"publishedAt": None, "updatedAt": None, "isLatest": None}
    times = {"published_at": "2025-10-17T12:00:00Z", "updated_at": "2025-10-18T12:00:00Z", "is_latest": True}
    old = {"transport_type": "streamable-http", "url": URL, "headers": [header]}
    assert parsed(raw(old, meta=meta | times)) == parsed(raw(remote(headers=[camel])))


def test_the_version_may_stand_in_version_detail() -> None:
    assert parsed(raw(version=None, version_detail={"version": "2.0.0"})).version == "2.0.0"


@pytest.mark.parametrize(
    "more",
    [
        {"repository": {}},
        {"repository": {"url": "https://github.com/acme/weather", "source": "github"}, "websiteUrl": "https://acme.com"},
        {"packages": [{"registryType": "npm", "identifier": "@acme/weather", "transport": {"type": "stdio"}}]},
        {"icons": [{"src": "https://acme.com/icon.png"}], "_meta": {"io.modelcontextprotocol.registry/publisher-provided": {"a": 1}}},
        {"$schema": "https://example.com/unknown", "somethingNew": [[{}]]},
    ],
)
def test_what_is_not_needed_is_not_looked_at(more: dict[str, Any]) -> None:
    assert parsed(raw(**more)) == parsed(raw())


def test_other_registries_add_meta_of_their_own() -> None:
    record = raw()
    record["_meta"]["com.example/stars"] = {"count": 5}
    assert parsed(record) == parsed(raw())
    assert parsed({"server": record["server"], "_meta": {"com.example/stars": {"count": 5}}}).is_latest is None


@pytest.mark.parametrize("value", [True, "true"])
def test_truth_may_be_written_as_text(value: Any) -> None:
    assert parsed(raw(remote(headers=[{"name": "X-Key", "isRequired": value}]))).remotes[0].headers[0].input.required


@pytest.mark.parametrize(("value", "text"), [(8080, "8080"), (1.5, "1.5"), (False, "false"), ("x", "x")])
def test_numbers_and_truth_values_of_inputs_are_text(value: Any, text: str) -> None:
    assert parsed(raw(remote(variables={"v": {"default": value}}))).remotes[0].variables["v"].default == text


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2025-10-17T12:00:00Z", 1760702400.0),
        ("2025-10-17T14:00:00+02:00", 1760702400.0),
        ("2025-10-17T12:00:00", 1760702400.0),
        ("2025-10-17T12:00:00.123456789Z", 1760702400.123456),
        ("0001-01-01T00:00:00+23:59", -62135683140.0),
        ("yesterday", 0.0),
        ("2025-13-17T12:00:00Z", 0.0),
        ("\ud800", 0.0),
        (1760702400, 0.0),
        (None, 0.0),
    ],
)
def test_the_time_of_publication_is_utc_or_unknown(told: Any, expected: float) -> None:
    assert parsed(raw(meta={"publishedAt": told})).published_at == expected


@pytest.mark.parametrize(
    "name", ["a/b", "com.Example-1/My_server.v2", "kagent/weather", pytest.param("a" * 99 + "/" + "b" * 100, id="200 characters")]
)
def test_names_of_the_schema_are_taken_as_they_are(name: str) -> None:
    assert parsed(raw(name=name)).name == name


@pytest.mark.parametrize(
    "name",
    [
        "weather", "a/b/c", "/weather", "acme/", "acme /weather", "acme/weather\n", "acme/\u0131", "mcp::acme/weather", "acme_x/weather",
        pytest.param("a" * 100 + "/" + "b" * 100, id="201 characters"), pytest.param("acme/" + "x" * 10_000_000, id="10 MB"),
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    assert problem(raw(name=name)) == "its name is not of the form namespace/name"


def test_a_refused_name_is_shown_in_a_form_that_can_be_stored_and_printed() -> None:
    with pytest.raises(InvalidRecord) as raised:
        parsed(raw(name="acme/\ud800\x00\x1b[31m\u202e" + "x" * 1000))
    raised.value.name.encode()
    assert raised.value.name.isprintable()
    assert raised.value.name.startswith("'acme/")
    assert len(raised.value.name) < 1000


def test_a_refused_name_is_not_taken_for_another_servers() -> None:
    with pytest.raises(InvalidRecord) as raised:
        parsed(raw(name="acme/" + "x" * 1000))
    assert problem(raw(name=raised.value.name))


@pytest.mark.parametrize("record", [None, [], "text", 5, True, {}, {"server": None}, {"server": []}, {"server": {}}, {"name": 5}])
def test_what_is_no_server_has_no_name(record: Any) -> None:
    with pytest.raises(InvalidRecord) as raised:
        parsed(record)
    assert raised.value.name == ""


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (raw(description="x" * 10_000_000), "description has 10000000 characters"),
        (raw(title="x" * 1000), "title has 1000 characters"),
        (raw(version="1" * 256), "version has 256 characters"),
        (raw(*[remote()] * 1000), "it has 1000 remotes"),
        (raw(remote("https://a.com/" + "x" * 5000)), "the url of a remote has"),
        (raw(remote(headers=[{"name": f"X-{n}"} for n in range(1000)])), "it has 1000 headers"),
        (raw(remote(variables={f"v{n}": {} for n in range(1000)})), "variables"),
        (raw(remote(variables={"v": {"choices": ["x"] * 1000}})), "it has 1000 choices"),
        (raw(remote(variables={"v" * 1000: {}})), "the name of a variable has 1000"),
        (raw(remote(headers=[{"name": "X-A", "value": "x" * 5000}])), "a value has 5000"),
        (raw(remote(headers=[{"name": "x" * 500}])), "the name of a header has 500"),
    ],
)
def test_what_is_too_large_is_refused_with_its_size(record: Any, said: str) -> None:
    assert said in problem(record)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (raw(remotes={"type": "sse"}), "remotes is not a list"),
        (raw(remotes={"$ref": "#/servers/0/remotes"}), "remotes is not a list"),
        (raw(remotes=["https://a.com"]), "a remote is not an object"),
        (raw(remote({"$ref": "file:///etc/passwd"})), "the url of a remote is not a string"),  # type: ignore[arg-type]
        (raw(remote(type=["sse"])), "the type of a remote is not a string"),
        (raw(remote(headers={"X-Key": "a"})), "headers is not a list"),
        (raw(remote(headers=[None])), "a header has no name"),
        (raw(remote(headers=[{"value": "a"}])), "a header has no name"),
        (raw(remote(headers=[{"name": ["X"]}])), "a header has no name"),
        (raw(remote(variables=["tenant"])), "variables is not an object"),
        (raw(remote(variables={"tenant": "blue"})), "a variable is not an object"),
        (raw(remote(variables={"tenant": {"default": {}}})), "a default is not a string"),
        (raw(remote(variables={"tenant": {"choices": "blue"}})), "choices is not a list"),
        (raw(remote(variables={"tenant": {"choices": [{}]}})), "a choice is not a string"),
        (raw(remote(variables={"tenant": {"default": float("inf")}})), "a default is a number that is too large"),
        (raw(remote(variables={"tenant": {"default": float("nan")}})), "a default is a number that is too large"),
        (raw(remote(variables={"tenant": {"default": 10**5000}})), "a default is a number that is too large"),
        (raw(description={"$ref": "#"}), "description is not a string"),
        (raw(description="half \ud83d of a pair"), "description holds half of a surrogate pair"),
        (raw(remote(headers=[{"name": "X-A", "value": "\udc00"}])), "a value holds half of a surrogate pair"),
        (raw(version=["1.0.0"]), "version is not a string"),
        (raw(meta={"status": "retired"}), "its status 'retired' is not known"),
        (raw(meta={"status": "\ud800" * 1000}), "is not known"),
        (raw(meta={"status": ["active"]}), "its status which is not a string is not known"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(record: Any, said: str) -> None:
    with pytest.raises(InvalidRecord) as raised:
        parsed(record)
    assert said in str(raised.value)
    assert raised.value.name == NAME
    json.dumps(str(raised.value), ensure_ascii=False).encode()


def test_a_deep_record_is_an_ordinary_one() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert "description" in problem(raw(description=deep))
    assert "status" in problem(raw(meta={"status": deep}))
    assert parsed(raw(packages=deep)) == parsed(raw())
