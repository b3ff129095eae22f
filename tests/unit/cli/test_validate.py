"""`junctor validate` says what the API server and the operator would."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.running import run


def manifest(name: str, *, namespace: str = "team-a", **spec: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in ({"url": "https://a.example/mcp"} | spec).items())
    return f"apiVersion: junctor.dev/v1alpha1\nkind: MCPConnector\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{lines}"


def secret(name: str, *, label: str = '{junctor.dev/credentials: "true"}', data: str = "{token: value}") -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: team-a, labels: {label}}}\nstringData: {data}\n"


BEARER = "{bearer: {secretKeyRef: {name: s, key: token}}}"


def test_good_manifests_have_no_problems() -> None:
    result = run("validate", "-", stdin=manifest("a"))
    assert (result.code, result.stdout, result.stderr) == (0, "1 object in 1 file: no problems\n", "")


def test_refused_field_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(manifest("a", url="ftp://a.example/"))
    result = run("validate", str(file))
    assert result.code == 1
    problem, summary = result.stdout.splitlines()
    assert problem.startswith(f"{file}:5:")
    assert "spec.url" in problem
    assert summary == "0 objects in 1 file: 1 error, 0 warnings"


def test_directory_is_searched_and_hidden_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(manifest("a"))
    (tmp_path / "b.json").write_text("{")
    (tmp_path / ".hidden.yaml").write_text("[")
    (tmp_path / "notes.md").write_text("[")
    result = run("validate", str(tmp_path))
    assert result.code == 1
    assert result.stdout.splitlines()[-1] == "1 object in 2 files: 1 error, 0 warnings"


VALUES = "replicas: 2\nimage: {tag: v1}\n"


@pytest.mark.parametrize("command", ["validate", "render"])
def test_file_of_a_directory_that_is_no_manifest_is_passed_over_with_a_note(tmp_path: Path, command: str) -> None:
    (tmp_path / "a.yaml").write_text(manifest("a"))
    (tmp_path / "values.yaml").write_text(VALUES)
    result = run(command, str(tmp_path))
    assert (result.code, result.stderr.splitlines()) == (
        0,
        [f"note: {tmp_path}/values.yaml: passed over, because no document in it has an apiVersion or a kind"],
    )
    if command == "validate":
        assert result.stdout == "1 object in 1 file: no problems\n"


def test_named_file_that_is_no_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(VALUES)
    result = run("validate", str(tmp_path / "values.yaml"))
    assert (result.code, result.stderr) == (1, "")
    assert "apiVersion: is required, as a string" in result.stdout


@pytest.mark.parametrize("text", [VALUES + "---\n" + manifest("a"), VALUES + "kind: MCPConnector\n", VALUES + "broken: [\n"])
def test_file_of_a_directory_that_is_a_manifest_in_part_is_judged(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert run("validate", str(tmp_path)).code == 1


def test_directory_without_a_manifest_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(VALUES)
    result = run("validate", str(tmp_path))
    assert result.code == 1
    assert result.stderr.splitlines()[-1] == "junctor: no objects passed to validate"


def test_empty_directory_is_wrong_usage(tmp_path: Path) -> None:
    assert run("validate", str(tmp_path)).code == 2


def test_binary_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\x00")
    assert "not UTF-8" in run("validate", str(tmp_path)).stdout


def test_conflict_between_files_names_the_winner(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("a", connectorID="x"))
    (tmp_path / "b.yaml").write_text(manifest("b", connectorID="x"))
    result = run("validate", str(tmp_path))
    assert result.code == 1
    problem = result.stdout.splitlines()[0]
    assert problem.startswith(f"{tmp_path}/b.yaml:1: MCPConnector team-a/b: IDConflict: ")
    assert "team-a/a" in problem


def test_same_object_twice_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("x"))
    (tmp_path / "b.yaml").write_text(manifest("x"))
    assert f"{tmp_path}/b.yaml:1: MCPConnector team-a/x is defined in {tmp_path}/a.yaml:1 already" in run("validate", str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("text", "options", "code", "words"),
    [
        (manifest("a", auth=BEARER), (), 0, "warning: MCPConnector team-a/a: SecretNotFound"),
        (manifest("a", auth=BEARER), ("--strict-references",), 1, "MCPConnector team-a/a: SecretNotFound"),
        (manifest("a", auth=BEARER) + "---\n" + secret("s"), ("--strict-references",), 0, "no problems"),
        (manifest("a", auth=BEARER) + "---\n" + secret("s", label="{}"), (), 1, "SecretNotFound"),
        (manifest("a", auth=BEARER) + "---\n" + secret("s", data="{other: x}"), (), 1, "SecretKeyNotFound"),
        (manifest("a", auth=BEARER) + "---\n" + secret("s", data='{token: ""}'), (), 1, "SecretValueInvalid"),
    ],
)
def test_references_are_looked_up_in_the_input(text: str, options: tuple[str, ...], code: int, words: str) -> None:
    result = run("validate", "-", *options, stdin=text)
    assert result.code == code, result.stdout
    assert words in result.stdout


def test_configuration_brings_id_policies(tmp_path: Path) -> None:
    config = tmp_path / "operator.yaml"
    gateways = 'gateways: [{namespace: junctor, idPolicies: [{pattern: "connector_*", namespaces: [platform]}]}]'
    config.write_text(f"apiVersion: config.junctor.dev/v1alpha1\nkind: OperatorConfiguration\n{gateways}\n")
    result = run("validate", "-", "--config", str(config), stdin=manifest("a", connectorID="connector_x"))
    assert result.code == 1
    assert "IDNotPermitted" in result.stdout


def test_wrong_configuration_is_wrong_usage(tmp_path: Path) -> None:
    config = tmp_path / "operator.yaml"
    config.write_text("kind: Something\n")
    result = run("validate", "-", "--config", str(config), stdin=manifest("a"))
    assert result.code == 2
    assert len(result.stderr.splitlines()) == 1


def test_json_is_for_machines() -> None:
    result = run("validate", "-", "-o", "json", stdin=manifest("a", auth=BEARER) + "---\n" + manifest("b", url="ftp://x"))
    answer = json.loads(result.stdout)
    assert (result.code, answer["objects"], answer["errors"], answer["warnings"]) == (1, 1, 1, 1)
    assert [(problem["file"], problem["severity"]) for problem in answer["problems"]] == [("<stdin>", "warning"), ("<stdin>", "error")]
    assert set(answer["problems"][0]) == {"file", "message", "line", "column", "severity"}


def test_secret_values_are_never_printed() -> None:
    text = manifest("a", auth=BEARER) + "---\n" + secret("s", data='{token: "s3cret\\x01value"}')
    result = run("validate", "-", stdin=text)
    assert "SecretValueInvalid" in result.stdout
    assert "s3cret" not in result.stdout + result.stderr
