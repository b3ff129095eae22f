"""A directory of manifests becomes objects; what is wrong is told, and what was right stays."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from junctor.offline.manifests import ObjectKey, ParsedText, parse_manifests
from junctor.standalone import files
from junctor.standalone.directory import ManifestDirectory
from junctor.standalone.files import SETTLE_SECONDS
from junctor.standalone.objects import ObjectStore


def manifest(name: str, *, namespace: str = "team-a", **spec: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in ({"url": "https://a.example/mcp"} | spec).items())
    return f"apiVersion: junctor.dev/v1alpha1\nkind: MCPConnector\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{lines}"


class Desk:
    """A directory, the store that follows it, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 100.0
        self.store = ObjectStore()
        self.directory = ManifestDirectory(root, self.store, clock=lambda: self.now)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    async def scan(self) -> list[str]:
        """Scan until nothing waits; gives the names of the connectors."""
        while (again := await self.directory.scan()) is not None:
            self.now += again
        return [body["metadata"]["name"] for body in self.store.list("MCPConnector")]

    @property
    def problems(self) -> list[str]:
        return [str(problem).removeprefix(f"{self.root}/") for problem in self.directory.problems]

    def spec(self, name: str, namespace: str = "team-a") -> Mapping[str, Any]:
        body = self.store.get(ObjectKey("MCPConnector", namespace, name))
        assert body is not None
        spec: Mapping[str, Any] = body["spec"]
        return spec


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    root = tmp_path / "connectors"
    root.mkdir()
    return Desk(root)


async def test_every_manifest_below_the_directory_is_an_object(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a") + "---\n" + manifest("b"))
    desk.write("sub/deeper/c.yml", manifest("c"))
    desk.write(
        "d.json",
        '{"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": "d"}, "spec": {"url": "https://d.example/"}}',
    )
    desk.write("notes.txt", "not a manifest: [")
    desk.write(".hidden/e.yaml", manifest("e"))
    desk.write(".f.yaml.swp.yaml", manifest("f"))
    assert await desk.scan() == ["d", "a", "b", "c"]
    assert desk.problems == []
    assert desk.store.get(ObjectKey("MCPConnector", "default", "d")) is not None


async def test_age_of_an_object_is_the_age_of_its_file(desk: Desk) -> None:
    os.utime(desk.write("a.yaml", manifest("a")), (1_700_000_000, 1_700_000_000))
    await desk.scan()
    desk.write("a.yaml", manifest("a", title="new"))
    await desk.scan()
    body = desk.store.get(ObjectKey("MCPConnector", "team-a", "a"))
    assert body is not None
    assert body["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20.000000Z"


async def test_removed_file_removes_its_objects(desk: Desk) -> None:
    path = desk.write("a.yaml", manifest("a"))
    desk.write("b.yaml", manifest("b"))
    await desk.scan()
    path.unlink()
    assert await desk.scan() == ["b"]


async def test_object_that_is_taken_out_of_a_good_file_is_removed(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a") + "---\n" + manifest("b"))
    await desk.scan()
    desk.write("a.yaml", manifest("a"))
    assert await desk.scan() == ["a"]


@pytest.mark.parametrize("how", ["vanished", "emptied"])
async def test_file_that_an_editor_replaces_in_two_steps_is_not_taken_for_deleted(desk: Desk, how: str) -> None:
    path = desk.write("a.yaml", manifest("a"))
    await desk.scan()
    uid = desk.store.list("MCPConnector")[0]["metadata"]["uid"]
    path.unlink() if how == "vanished" else path.write_text("")
    assert await desk.directory.scan() == pytest.approx(SETTLE_SECONDS)
    assert desk.store.list("MCPConnector")
    path.write_text(manifest("a", title="new"))
    await desk.scan()
    assert desk.spec("a")["title"] == "new"
    assert desk.store.list("MCPConnector")[0]["metadata"]["uid"] == uid


async def test_emptied_file_has_no_objects_in_the_end(desk: Desk) -> None:
    path = desk.write("a.yaml", manifest("a"))
    await desk.scan()
    path.write_text("")
    assert await desk.scan() == []
    assert desk.problems == []


async def test_renamed_file_is_no_conflict_and_the_object_stays(desk: Desk) -> None:
    path = desk.write("b.yaml", manifest("a"))
    await desk.scan()
    uid = desk.store.list("MCPConnector")[0]["metadata"]["uid"]
    path.rename(desk.root / "c.yaml")
    await desk.directory.scan()
    assert desk.problems == []
    await desk.scan()
    assert desk.store.list("MCPConnector")[0]["metadata"]["uid"] == uid


async def test_broken_yaml_names_line_and_column_and_keeps_what_was_good(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a", title="good"))
    await desk.scan()
    desk.write("a.yaml", manifest("a", title="[not closed"))
    desk.write("b.yaml", manifest("b"))
    assert await desk.scan() == ["a", "b"]
    (problem,) = desk.problems
    file, line, column, _ = problem.split(":", 3)
    assert (file, line.isdigit(), column.isdigit()) == ("a.yaml", True, True)
    assert desk.spec("a")["title"] == "good"
    desk.write("a.yaml", manifest("a", title="better"))
    await desk.scan()
    assert desk.problems == []
    assert desk.spec("a")["title"] == "better"


async def test_object_that_would_be_refused_keeps_its_last_good_version_and_its_neighbours_go_on(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a") + "---\n" + manifest("b"))
    await desk.scan()
    desk.write("a.yaml", manifest("a", url="ftp://a.example/") + "---\n" + manifest("b", title="new"))
    assert await desk.scan() == ["a", "b"]
    assert desk.spec("a")["url"] == "https://a.example/mcp"
    assert desk.spec("b")["title"] == "new"
    assert "spec.url" in desk.problems[0]


async def test_two_files_with_one_object_name_each_other_and_the_first_path_wins(desk: Desk) -> None:
    desk.write("b.yaml", manifest("x", title="second"))
    desk.write("a.yaml", manifest("x", title="first"))
    await desk.scan()
    assert desk.spec("x")["title"] == "first"
    (problem,) = desk.problems
    assert problem.startswith("b.yaml:1: MCPConnector team-a/x is defined in ")
    assert "a.yaml:1 too" in problem
    (desk.root / "a.yaml").unlink()
    await desk.scan()
    assert desk.problems == []
    assert desk.spec("x")["title"] == "second"


async def test_one_file_with_one_object_twice_says_so_and_the_first_is_used(desk: Desk) -> None:
    desk.write("a.yaml", manifest("x", title="first") + "---\n" + manifest("x", title="second"))
    await desk.scan()
    assert desk.spec("x")["title"] == "first"
    assert len(desk.problems) == 1


async def test_changed_id_is_refused_and_the_last_good_version_stays(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a"))
    await desk.scan()
    desk.write("a.yaml", manifest("a", connectorID="other"))
    await desk.scan()
    assert "the connector id cannot be changed" in desk.problems[0]
    assert "connectorID" not in desk.spec("a")
    desk.write("a.yaml", manifest("a", title="restored"))
    await desk.scan()
    assert desk.problems == []


async def test_vanished_directory_is_never_an_empty_one(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a"))
    desk.write("sub/b.yaml", manifest("b"))
    await desk.scan()
    away = desk.root.with_name("away")
    desk.root.rename(away)
    assert await desk.scan() == ["a", "b"]
    desk.now += 1000
    assert await desk.scan() == ["a", "b"]
    assert "cannot be listed" in desk.directory.problems[0].message
    away.rename(desk.root)
    (desk.root / "a.yaml").unlink()
    assert await desk.scan() == ["b"]
    assert desk.problems == []


async def test_subdirectory_that_cannot_be_listed_keeps_what_it_held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("a.yaml", manifest("a"))
    desk.write("sub/b.yaml", manifest("b"))
    await desk.scan()
    (desk.root / "a.yaml").unlink()
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if path.name == "sub":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr("os.listdir", refuse)
    assert await desk.scan() == ["b"]
    assert desk.problems == ["sub: the directory cannot be listed (Permission denied); what it held before stays in use"]


async def test_unreadable_large_and_binary_files_are_told_and_keep_their_last_content(desk: Desk) -> None:
    for name in ("large", "binary"):
        desk.write(f"{name}.yaml", manifest(name))
    await desk.scan()
    desk.write("large.yaml", "#" * (files.LARGEST_FILE + 1))
    (desk.root / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(desk.root / "pipe.yaml")
    assert await desk.scan() == ["binary", "large"]
    binary, large, pipe = desk.problems
    assert "not UTF-8" in binary
    assert "at most 5 are read" in large
    assert "not a regular file" in pipe


async def test_file_that_may_not_be_read_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("a.yaml", manifest("a"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    await desk.scan()
    assert desk.problems == ["a.yaml: cannot be read (Permission denied); its last good content stays in use"]


async def test_symbolic_links_are_followed_and_circles_end(desk: Desk, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.yaml").write_text(manifest("a"))
    (desk.root / "linked").symlink_to(elsewhere)
    (desk.root / "circle").symlink_to(desk.root)
    (desk.root / "nothing.yaml").symlink_to(tmp_path / "nothing")
    assert await desk.scan() == ["a"]
    assert desk.problems == []


async def test_projected_volume_that_swaps_its_link_is_one_change(desk: Desk) -> None:
    for version in ("1", "2"):
        desk.write(f"..{version}/a.yaml", manifest("a", title=f"'{version}'"))
    (desk.root / "..data").symlink_to("..1")
    (desk.root / "a.yaml").symlink_to("..data/a.yaml")
    await desk.scan()
    (desk.root / "..new").symlink_to("..2")
    (desk.root / "..new").rename(desk.root / "..data")
    await desk.scan()
    assert desk.spec("a")["title"] == "2"
    assert desk.problems == []


async def test_gateway_file_is_reserved_and_noted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk.write("gateway.yaml", "stdio: []\n")
    await desk.scan()
    await desk.scan()
    assert desk.problems == []
    assert sum("reserved" in record.message for record in caplog.records) == 1


async def test_gateway_file_with_one_of_our_kinds_is_taken(desk: Desk) -> None:
    desk.write("gateway.yaml", manifest("a"))
    assert await desk.scan() == ["a"]


async def test_file_that_is_no_manifest_is_noted_once_and_is_no_problem(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk.write("values.yaml", "replicas: 2\nimage: {tag: v1}\n")
    desk.write("a.yaml", manifest("a"))
    assert await desk.scan() == ["a"]
    await desk.scan()
    assert desk.problems == []
    assert [record.levelname for record in caplog.records if "values.yaml: passed over" in record.message] == ["INFO"]


async def test_file_that_loses_its_apiversion_and_kind_keeps_its_objects(desk: Desk) -> None:
    desk.write("a.yaml", manifest("a"))
    assert await desk.scan() == ["a"]
    desk.write("a.yaml", "metadata: {name: a}\nspec: {url: https://other.example/}\n")
    assert await desk.scan() == ["a"]
    assert desk.spec("a")["url"] == "https://a.example/mcp"
    assert len(desk.problems) == 2


async def test_problem_is_logged_once_and_its_end_too(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk.write("a.yaml", "a: [")
    await desk.scan()
    await desk.scan()
    desk.write("a.yaml", manifest("a"))
    await desk.scan()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "valid again" in caplog.records[1].message


async def test_secrets_and_namespaces_are_objects_too(desk: Desk) -> None:
    desk.write("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\nstringData: {a: b}\n")
    desk.write("n.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: team, labels: {a: b}}\n")
    await desk.scan()
    assert desk.problems == []
    assert desk.store.get(ObjectKey("Secret", "team", "s")) is not None
    assert desk.store.get(ObjectKey("Namespace", "", "team")) is not None


async def test_files_that_did_not_change_are_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        desk.write(f"{number % 10}/{number}.yaml", manifest(f"c{number}"))
    await desk.scan()
    read: list[str] = []

    def parse(text: str, source: str) -> ParsedText:
        read.append(source)
        return parse_manifests(text, source)

    monkeypatch.setattr(files, "parse_manifests", parse)
    time_before = time.time_ns()
    path = desk.write("3/3.yaml", manifest("c3", title="new"))
    os.utime(path, ns=(time_before + 1, time_before + 1))
    await desk.scan()
    assert read == [str(path)]
