"""The documentation and the examples are true: what they show is validated, parsed or run."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import httpx
import pytest
import yaml

from junctor.api import configuration, names
from junctor.api.conditions import Reason
from junctor.api.reasons import REASONS
from junctor.cli.main import COMMANDS, junctor
from tests.cluster.api import wait_for
from tests.support.pages import ROOT, blocks, commands, heredocs
from tests.support.running_standalone import Standalone
from tests.unit.cli.running import run

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
DEADLINE = 60.0


BLOCKS = [block for page in PAGES for block in blocks(page)]


def documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if isinstance(document, dict)]


def yaml_texts() -> Iterator[tuple[str, str]]:
    """Where it stands, and everything that is YAML."""
    for block in BLOCKS:
        for text in [block.text] if block.language == "yaml" else heredocs(block.text):
            yield str(block), text
    for file in EXAMPLES:
        yield str(file.relative_to(ROOT)), file.read_text("utf-8")


MANIFESTS = {where: text for where, text in yaml_texts() if any(d.get("apiVersion") == names.API_VERSION for d in documents(text))}
CONFIGURATIONS = {where: text for where, text in yaml_texts() if any(d.get("kind") == "OperatorConfiguration" for d in documents(text))}


# --- YAML ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_manifests_are_valid(text: str) -> None:
    answer = run("validate", "-", stdin=text)
    assert answer.code == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("text", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_operator_configurations_are_valid(text: str) -> None:
    assert configuration.parse_configuration(text, "example").gateways


def test_examples_say_what_they_show_in_their_first_line() -> None:
    assert [file for file in EXAMPLES if not re.match(r"# \w.{20,}", file.read_text("utf-8"))] == []


def test_examples_bring_their_secrets_and_suit_every_example_configuration() -> None:
    manifests = [str(ROOT / "examples" / name) for name in ("connectors", "registry.yaml")]
    for file in ("operator.yaml", "two-gateways/operator.yaml"):
        config = str(ROOT / "examples" / file)
        answer = run("validate", *manifests, "--strict-references", "--config", config)
        assert answer.code == 0, answer.stdout
        assert answer.stdout.endswith("no problems\n")


def test_test_stage_example_is_served_by_the_gateway_that_it_names() -> None:
    directory = ROOT / "examples" / "two-gateways"
    answer = run("render", str(directory / "connectors.yaml"), "--config", str(directory / "operator.yaml"))
    heads = [json.loads(d["data"]["head.json"]) for d in documents(answer.stdout) if "head.json" in d["data"]]
    assert [head["connectors"] for head in heads] == [0, 1]
    assert '"id":"team-a.ticket-drafts"' in answer.stdout


# --- commands -----------------------------------------------------------------------------------------------------------------------------


#: Every simple command of the pages, and where it stands.
COMMANDS_SHOWN = [(str(block), words) for block in BLOCKS if block.language in ("sh", "") for words in commands(block)]
JUNCTOR_COMMANDS = [pytest.param(words, id=where) for where, words in COMMANDS_SHOWN if Path(words[0]).name == "junctor"]
MAKE_COMMANDS = [pytest.param(words, id=where) for where, words in COMMANDS_SHOWN if words[0] == "make"]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """A command, which may be one of a group, and what follows its name."""
    command: click.Command | None = junctor
    while isinstance(command, click.Group):
        command, words = command.get_command(click.Context(command), words[0]), words[1:]
    assert command is not None, "there is no such command"
    return command, words


#: Each command as it is written; those of a group by themselves.
PATHS = [
    f"{name} {part}" if part else name
    for name in COMMANDS
    for part in getattr(junctor.get_command(click.Context(junctor), name), "commands", [""])
]


@pytest.mark.parametrize("words", JUNCTOR_COMMANDS)
def test_command_line_takes_what_the_pages_show(words: list[str]) -> None:
    context = click.Context(junctor)
    command, arguments = command_of(words[1:])
    if "--help" in words:  # which no parser knows by itself
        return
    given, rest, _ = command.make_parser(click.Context(command)).parse_args(arguments)
    assert rest == []
    for parameter in command.params:
        value = given.get(parameter.name or "")
        assert value or not parameter.required, f"{parameter.name} is required"
        if isinstance(parameter.type, click.Choice | click.IntRange) and value is not None:
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize("words", MAKE_COMMANDS)
def test_make_targets_exist(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {word for word in words[1:] if "=" not in word} <= targets


def test_make_targets_in_sentences_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    mentioned = {target for page in PAGES for target in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))}
    assert mentioned
    assert mentioned <= targets


def option_table(name: str) -> str:
    """What docs/cli.md says about a command's options: one row for each, as `--help` has them."""
    command, _ = command_of(name.split())
    rows = ["| option | default | variable | |", "|---|---|---|---|"]
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        takes = "" if option.is_flag else " " + _metavar(option)
        default = "required" if option.required else "" if option.is_flag or not _is_shown(option.default) else f"`{option.default}`"
        variable = f"`{option.envvar}`" if option.envvar else ""
        text = (option.help or "").replace("|", "\\|")
        rows.append(f"| `{', '.join(option.opts)}{takes}` | {default} | {variable} | {text} |")
    return "\n".join(rows)


def _is_shown(default: object) -> bool:
    return isinstance(default, str | int | float) and not isinstance(default, bool)


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "\\|".join(option.type.choices)
    if isinstance(option.type, click.Path):
        return "FILE" if option.type.file_okay else "DIR"
    return "NUMBER" if isinstance(option.type, click.IntRange | click.FloatRange) else "TEXT"


@pytest.mark.parametrize("name", PATHS)
def test_command_line_page_has_every_option(name: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    section = re.search(rf"^##+ junctor {name}\n(.*?)(?=^##|\Z)", page, re.M | re.S)
    assert section, f"docs/cli.md has no section about junctor {name}"
    table = option_table(name)
    assert table in section[1], f"put this into the section about junctor {name}:\n{table}"


def test_command_line_page_has_no_other_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert re.findall(r"^## junctor (\w+)", page, re.M) == list(COMMANDS)
    assert re.findall(r"^### junctor (.+)", page, re.M) == [path for path in PATHS if " " in path]


# --- names --------------------------------------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor that a code-hosting page gives a heading."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"`", "", heading).lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert target.is_relative_to(ROOT)
        if anchor:
            headings = re.findall(r"^#+ (.*)", target.read_text("utf-8"), re.M)
            assert anchor in {slug(heading) for heading in headings}, f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:src|tests|docs|examples|charts|crds)/[\w./-]+)`", page.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.relative_to(ROOT)})" not in readme] == []


def test_picture_stands_by_itself() -> None:
    text = (ROOT / "docs" / "picture.svg").read_text("utf-8")
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"href|<script|<style|<image|@import", text), "code-hosting pages show none of these"


def test_troubleshooting_speaks_of_every_reason_that_calls_for_somebody() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    section = page.partition("## By reason\n")[2].partition("\n## ")[0]
    spoken = re.findall(r"^\| `(\w+)` \|", section, re.M)
    needing = {str(reason) for reason, doc in REASONS.items() if doc.remedy}
    assert set(spoken) == needing - {Reason.DISABLED, Reason.NOT_ACCEPTED, Reason.NOT_PROGRAMMED}


def test_quoted_log_lines_and_messages_are_in_the_code() -> None:
    joined = "\n".join(file.read_text("utf-8") for file in sorted((ROOT / "src").rglob("*.py")))
    code = re.sub(r"\"\s*\n\s*f?\"", "", joined).replace('\\"', '"')
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    rest = page.partition("## By log line\n")[2]
    quoted = re.findall(r"^(?:\||-) `([^`]* [^`]*…?[^`]*)`", rest, re.M)
    quoted += re.findall(r"^\| `([^`]* [^`]*)` \| (?:operator|gateway)", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.M)
    assert len(quoted) > 15
    missing = [line for line in quoted for piece in line.split("…") if len(piece.strip()) > 3 and piece.strip() not in code]
    assert missing == []


# --- the standalone example is run --------------------------------------------------------------------------------------------------------


def test_standalone_page_shows_what_happens(tmp_path: Path) -> None:
    page = [block for block in BLOCKS if block.page.name == "standalone.md"]
    manifest = next(block.text for block in page if block.language == "yaml")
    shown = json.loads(next(block.text for block in page if block.language == "json"))
    table = next(block.text for block in page if block.language == "text").splitlines()
    words = [words for block in page if block.language == "sh" for words in commands(block)]
    assert ["junctor", "standalone", "--manifests", "connectors"] in words
    address = httpx.URL(next(word[1] for word in words if word[0] == "curl"))
    directory = tmp_path / "connectors"
    directory.mkdir()
    (directory / "github.yaml").write_text(manifest)
    with (
        Standalone(directory, tmp_path / "log") as standalone,
        httpx.Client(base_url=standalone.url, trust_env=False, timeout=60) as client,
    ):
        wait_for(lambda: client.get(address.path).json() == shown)
        wait_for(lambda: "True       True         True" in run("status", "--management", standalone.management).stdout)
        status = run("status", "--management", standalone.management).stdout.splitlines()
        assert [re.sub(r"\d+s$", "", line) for line in status] == [re.sub(r"\d+s$", "", line) for line in table]
        one = client.get(f"{address.path}/connector_github")
        assert one.json() == shown["data"][0]
        wide = run("status", "--management", standalone.management, "-o", "wide")
        assert "served by 1 of 1 pods" in wide.stdout


def test_rendered_map_is_served_as_the_standalone_page_says(tmp_path: Path) -> None:
    rendered = run("render", str(ROOT / "examples" / "connectors"), "--with-credentials")
    assert rendered.code == 0, rendered.stderr
    (tmp_path / "map.yaml").write_text(rendered.stdout)
    command = [sys.executable, "-m", "junctor.cli.main", "gateway", "--map", f"file:{tmp_path / 'map.yaml'}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        gateway = subprocess.Popen([*command, "--port", "0", "--management-port", "0"], stdout=output, stderr=output)
    try:
        wait_for(lambda: b'"url"' in log.read_bytes())
        url = next(json.loads(line)["url"] for line in log.read_text().splitlines() if '"url"' in line)
        wait_for(lambda: httpx.get(f"{url}/v1/connectors", trust_env=False, timeout=60).status_code == 200)
        listed = httpx.get(f"{url}/v1/connectors", trust_env=False, timeout=60).json()["data"]
    finally:
        gateway.terminate()
        gateway.wait(DEADLINE)
    assert {item["id"]: item["available"] for item in listed} == dict.fromkeys(
        ("connector_github", "connector_search", "example", "tickets", "wiki"), True
    )
