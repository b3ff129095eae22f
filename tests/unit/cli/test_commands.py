"""The command line as a user meets it: help, errors, exit codes."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from junctor import __version__
from junctor.cli import main
from tests.unit.cli.running import run

COMMANDS = list(main.COMMANDS)


def test_help_explains_the_product_and_lists_the_commands() -> None:
    result = run("--help")
    assert result.code == 0
    assert "MCPConnector" in result.stdout
    assert all(f"  {name}" in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_itself_and_each_of_its_options(name: str) -> None:
    command = main.junctor.get_command(click.Context(main.junctor), name)
    assert command is not None
    for part in (command, *getattr(command, "commands", {}).values()):
        assert part.help
        assert part.epilog, "has no example"
        for parameter in part.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts[0]} has no help"
    assert run(name, "--help").code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_example_names_the_command(name: str) -> None:
    assert f"junctor {name}" in run(name, "--help").stdout


def test_without_a_command_it_is_the_help() -> None:
    assert run() == run("--help")


def test_group_without_a_command_shows_its_help_in_lines() -> None:
    result = run("registries")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: junctor registries")
    assert len(result.stderr.splitlines()) > 10


def test_version_is_the_package_s() -> None:
    assert run("--version").stdout == f"junctor {__version__}\n"
    assert run("version").stdout.startswith(f"junctor: {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("validate",),
        ("validate", "does-not-exist.yaml"),
        ("render", "does-not-exist.yaml"),
        ("validate", "-", "--config", "does-not-exist.yaml"),
        ("standalone",),
        ("standalone", "--manifests", "does-not-exist"),
        ("gateway",),
        ("operator",),
        ("operator", "--config", "examples/operator.yaml", "--namespace", "a b"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "--help" in result.stderr


def _failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_interrupted_command_ends_quietly_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    from junctor.cli.version import version

    monkeypatch.setattr(version, "callback", _failing(KeyboardInterrupt()))
    result = run("version")
    assert (result.code, result.stdout, result.stderr.strip()) == (130, "", "")


def test_command_that_did_not_work_is_one_line_and_exit_code_1() -> None:
    result = run("status", "--management", "http://127.0.0.1:9")
    assert (result.code, len(result.stderr.splitlines())) == (1, 1)
    assert "junctor: no standalone answers at http://127.0.0.1:9" in result.stderr


@pytest.mark.parametrize("command", [("validate", "-"), ("render", "-"), ("operator",)], ids=lambda command: str(command[0]))
def test_configuration_that_is_not_text_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "operator.yaml"
    file.write_bytes(b"\xff\xfe")
    result = run(*command, "--config", str(file))
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert f"{file}: is not UTF-8 text" in result.stderr


@pytest.mark.parametrize("content", [b"", b"text", b"[1, 2]", b"\xff\xfe", b"a: [", b"current-context: a\ncontexts: 5\n"])
@pytest.mark.parametrize(
    "command", ["operator --config examples/operator.yaml --health-port 0", "gateway --map configmap:a/b --port 0 --management-port 0"]
)
def test_kubeconfig_that_is_none_is_named(tmp_path: Path, content: bytes, command: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)
    result = run(*command.split(), "--kubeconfig", str(file))
    assert (result.code, len(result.stderr.splitlines())) == (1, 1), result.stderr
    assert f"no usable Kubernetes credentials in {file}" in result.stderr


def test_missing_kubeconfig_of_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = run("gateway", "--map", "configmap:a/b", "--port", "0", "--management-port", "0")
    assert (result.code, len(result.stderr.splitlines())) == (1, 1), result.stderr
    assert f"{tmp_path / 'none'} does not exist" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [\n", ": not YAML at line 2: "), ("gateways: []\nfrob: 1\n", ": apiVersion: is required; ")],
    ids=["not YAML", "several faults"],
)
def test_faults_of_a_configuration_are_told_apart_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(text)
    result = run("operator", "--config", str(file))
    assert (result.code, len(result.stderr.splitlines())) == (2, 1)
    assert f"{file}{message}" in result.stderr


def test_health_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("operator", "--config", "examples/operator.yaml", "--health-host", "127.0.0.1", "--health-port", port)
    assert (result.code, len(result.stderr.splitlines())) == (1, 1)
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr


@pytest.mark.parametrize(("command", "absent"), [("gateway", ["kopf", "kubernetes"]), ("validate", ["kopf", "uvicorn", "kubernetes"])])
def test_command_does_not_import_what_it_does_not_need(command: str, absent: list[str]) -> None:
    code = (
        "import sys; from junctor.cli import main\n"
        f"try: main.main([{command!r}, '--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {absent!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_help_of_the_group_imports_no_command() -> None:
    code = (
        "import sys; from junctor.cli import main\n"
        "try: main.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('junctor.') and name not in ('junctor.cli', 'junctor.cli.main')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
