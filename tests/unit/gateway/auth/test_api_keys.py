"""API keys in a file."""

import hashlib
import json
import logging
import os
from pathlib import Path

import pytest
import yaml

from junctor.gateway.auth import Caller, CallersError
from junctor.gateway.auth.api_keys import ApiKeys
from junctor.gateway.auth.key_file import entry_of, new_key, parse_keys
from junctor.gateway.web.errors import Unauthorized
from tests.unit.cli.running import run

HASH = hashlib.sha256(b"secret-key").hexdigest()


def entry(key: str, name: str = "alice", *groups: str) -> str:
    return entry_of(key, name, groups)


def write(path: Path, text: str) -> None:
    """As a careful editor does it: another file in its place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


async def may(keys: ApiKeys, key: str) -> bool:
    try:
        await keys.identify(f"Bearer {key}")
    except Unauthorized:
        return False
    return True


async def test_a_key_names_its_caller(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one", "alice", "team-a", "team-b") + entry("two", "bob"))
    keys = await ApiKeys.open(file)
    assert await keys.identify("Bearer one") == Caller("User", "alice", ("team-a", "team-b"))
    assert await keys.identify("Bearer two") == Caller("User", "bob")


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic one", "one", f"Bearer {hashlib.sha256(b'one').hexdigest()}"])
async def test_whatever_else_is_refused_alike(tmp_path: Path, header: str | None) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one"))
    keys = await ApiKeys.open(file)
    with pytest.raises(Unauthorized) as refused:
        await keys.identify(header)
    assert (refused.value.message, refused.value.headers) == (Unauthorized().message, {"WWW-Authenticate": "Bearer"})


async def test_a_key_can_be_replaced_while_the_old_one_works(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("old") + entry("new"))
    keys = await ApiKeys.open(file)
    assert await keys.identify("Bearer old") == await keys.identify("Bearer new")


async def test_a_changed_file_counts_from_the_next_request_on(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one"))
    keys = await ApiKeys.open(file)
    write(file, entry("two"))
    assert (await may(keys, "one"), await may(keys, "two")) == (False, True)


async def test_a_secret_that_the_kubelet_changes_is_followed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.yaml").write_text(entry(name))
    (tmp_path / "data").symlink_to("one")
    keys = await ApiKeys.open(tmp_path / "data" / "keys.yaml")
    assert await may(keys, "one")
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    assert (await may(keys, "one"), await may(keys, "two")) == (False, True)


@pytest.mark.parametrize("text", ["", "[]", "# nobody yet\n", "null"])
async def test_an_empty_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one"))
    keys = await ApiKeys.open(file)
    write(file, text)
    assert not await may(keys, "one")


async def test_a_broken_file_leaves_the_keys_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one"))
    keys = await ApiKeys.open(file)
    write(file, "- {name: alice, sha256: secret-key}")
    assert await may(keys, "one")
    assert await may(keys, "one")
    told = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert "the previous API keys stay valid" in told[0]
    assert "secret-key" not in caplog.text
    write(file, entry("two"))
    assert (await may(keys, "one"), await may(keys, "two")) == (False, True)


async def test_a_file_that_is_gone_leaves_the_keys_until_it_is_there_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one"))
    keys = await ApiKeys.open(file)
    file.unlink()
    assert await may(keys, "one")
    assert await may(keys, "one")
    assert caplog.text.count("does not exist") == 1
    write(file, entry("two"))
    assert not await may(keys, "one")


async def test_keys_are_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "keys.yaml"
    file.write_text(entry("one"))
    keys = await ApiKeys.open(file)
    write(file, entry("secret-key"))
    assert await may(keys, "secret-key")
    assert not await may(keys, "another-key")
    assert "read again: 1 API keys" in caplog.text
    assert "secret-key" not in caplog.text
    assert "another-key" not in caplog.text
    assert HASH not in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: }", "not YAML at line 1"),
        ("name: alice", "must be a list of entries with name, groups, sha256"),
        ("secret-key", "must be a list"),
        ("- secret-key", "entry 1: must have name, groups, sha256"),
        (f"- {{name: a, sha256: {HASH}}}\n- {{name: b, key: secret-key}}", "entry 2: has a field that is not known"),
        (f"- {{name: a, sha256: {HASH}}}\n- {{name: b, sha256: {HASH}}}", "entry 2: another entry has the same sha256"),
        (f"- {{sha256: {HASH}}}", "entry 1: name must be"),
        (f"- {{name: '', sha256: {HASH}}}", "entry 1: name must be"),
        (f"- {{name: a, groups: team-a, sha256: {HASH}}}", "entry 1: groups must be a list"),
        (f"- {{name: a, groups: [1], sha256: {HASH}}}", "entry 1: groups must be a list"),
        ("- {name: a}", "entry 1: sha256 must be"),
        ("- {name: a, sha256: secret-key}", "entry 1: sha256 must be"),
        (f"- {{name: a, sha256: {HASH[:-1]}}}", "entry 1: sha256 must be"),
        ("- {name: a, sha256: 7}", "entry 1: sha256 must be"),
    ],
)
def test_a_fault_is_told_with_its_place_and_without_any_value(text: str, told: str) -> None:
    with pytest.raises(CallersError, match=told) as refused:
        parse_keys(text, "keys.yaml")
    assert str(refused.value).startswith("keys.yaml: ")
    assert "secret-key" not in str(refused.value)


def test_json_and_capital_digits_are_read() -> None:
    (key,) = parse_keys(json.dumps([{"name": "a", "sha256": HASH.upper(), "groups": None}]), "keys.json")
    assert (key.caller, key.sha256.hex()) == (Caller("User", "a"), HASH)


async def test_at_the_start_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(CallersError, match="does not exist; make its first entry with: junctor apikey"):
        await ApiKeys.open(tmp_path / "keys.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CallersError, match="is not UTF-8"):
        await ApiKeys.open(tmp_path / "binary")
    (tmp_path / "large").write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(CallersError, match="larger than 1 MiB"):
        await ApiKeys.open(tmp_path / "large")
    with pytest.raises(CallersError, match="cannot be read"):
        await ApiKeys.open(tmp_path)


# --- junctor apikey -----------------------------------------------------------------------------------------------------------------------


def test_new_keys_differ_and_fit_into_a_header() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) > 48 and key.isascii() and key.isprintable() and " " not in key for key in keys)


async def test_the_command_makes_a_key_and_an_entry_that_fit(tmp_path: Path) -> None:
    first, second = run("apikey", "ci", "--group", "team-a", "--group", "7"), run("apikey", "no: 'name")
    key = first.stderr.rpartition(" ")[2].strip()
    assert key not in first.stdout
    (tmp_path / "keys.yaml").write_text(first.stdout + second.stdout)
    assert [item["name"] for item in yaml.safe_load(first.stdout + second.stdout)] == ["ci", "no: 'name"]
    keys = await ApiKeys.open(tmp_path / "keys.yaml")
    assert await keys.identify(f"Bearer {key}") == Caller("User", "ci", ("team-a", "7"))


def test_the_command_refuses_a_name_that_no_file_can_have() -> None:
    result = run("apikey", " ")
    assert (result.code, result.stdout) == (2, "")
    assert "name must be" in result.stderr
