"""The steps of `junctor demo`: what is shown, done and checked.

Failed      a step did not do what it says; the message says which and what was seen instead
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

#: Seconds in which each step has to show its effect. Normally a few hundredths are enough.
DEADLINE: Final = 15.0
_START_DEADLINE: Final = 30.0
_POLL: Final = 0.005

GITHUB = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: github, namespace: team-a}
spec:
  connectorID: connector_github
  url: https://api.github.example/mcp
  description: Issues and pull requests
"""
GITHUB_CHANGED = GITHUB.replace("Issues and pull requests", "Issues, pull requests and releases")
GITHUB_BROKEN = GITHUB_CHANGED.replace("spec:\n", "spec:\n  title: [not closed\n")
WIKI = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: wiki, namespace: team-b}
spec:
  url: https://wiki.example/mcp
  auth: {bearer: {secretKeyRef: {name: wiki-token, key: token}}}
"""
WIKI_CREDENTIAL = """\
apiVersion: v1
kind: Secret
metadata:
  name: wiki-token
  namespace: team-b
  labels: {junctor.dev/credentials: "true"}
stringData: {token: not-a-real-token}
"""
RIVAL = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: rival, namespace: team-c}
spec:
  connectorID: connector_github
  url: https://rival.example/mcp
"""
FAREWELL: Final = """
That was all: every step did what it says.

What to try next:
  mkdir connectors; junctor standalone --manifests connectors    your own manifests, on http://127.0.0.1:8321
  junctor validate connectors                                    check manifests before you apply them
  junctor render connectors                                      see the connector map that they lead to
  junctor operator --help, junctor gateway --help                the same in a Kubernetes cluster"""


class Failed(Exception):
    """A step did not do what it says."""


class Standalone:
    """A `junctor standalone` process on a directory, on free ports. As a context manager it is stopped at the end."""

    def __init__(self, manifests: Path, log: Path) -> None:
        self.manifests = manifests
        self.url = self.management = ""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "junctor.cli.main", "standalone", "--manifests", str(self.manifests), "--log-format", "json"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JUNCTOR_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [*command, "--port", "0", "--management-port", "0"], stdout=log, stderr=log, env=environment
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> tuple[int, float]:
        """Stop it with SIGTERM; gives its exit code and how many seconds it took."""
        if self._process is None:
            raise Failed("the standalone was never started")
        begun = time.monotonic()
        self._process.terminate()
        try:
            return self._process.wait(DEADLINE), time.monotonic() - begun
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the standalone did not stop within {DEADLINE:.0f} s of SIGTERM") from error

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while time.monotonic() < deadline:
            for line in self._log.read_bytes().splitlines():
                if b'"managementUrl"' in line and line.endswith(b"}"):
                    addresses = json.loads(line)
                    self.url, self.management = addresses["url"], addresses["managementUrl"]
                    return
            if self._process is not None and self._process.poll() is not None:
                raise Failed(f"the standalone ended with exit code {self._process.returncode} instead of starting")
            time.sleep(0.02)
        raise Failed(f"the standalone did not listen within {_START_DEADLINE:.0f} s")


class Story:
    """Tells and checks. say: prints one line."""

    def __init__(self, standalone: Standalone, say: Callable[[str], None]) -> None:
        self._standalone = standalone
        self._say = say
        self._step = 0
        self._client = httpx.Client(base_url=standalone.url, timeout=DEADLINE, trust_env=False)

    def tell(self) -> None:
        """All steps in order. Raises Failed."""
        with self._client:
            self._start()
            self._apply()
            self._list()
            self._change()
            self._miss_a_secret()
            self._break()
            self._conflict()
            self._status()
            self._remove()
            self._stop()

    # --- the steps --------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._say(
            "Junctor lets teams declare MCP servers as resources and lets applications use them by id. In a cluster the resources are"
        )
        self._say("applied with kubectl; here they are files in a directory. The example servers are never contacted.")
        self._title("junctor standalone runs: no cluster, no network")
        self._say(f"   applications use {self._standalone.url}; the manifests are the files of one directory")

    def _apply(self) -> None:
        self._title("A team declares its MCP server: an MCPConnector")
        took = self._write("github.yaml", GITHUB, lambda: "connector_github" in self._catalog())
        self._say(f"   the API lists it {took * 1000:.0f} ms after the file was written")

    def _list(self) -> None:
        self._title("Applications see it")
        self._say("   GET /v1/connectors")
        item = self._catalog()["connector_github"]
        shown = {key: item.get(key) for key in ("id", "description", "available", "server_url")}
        self._say(f"   {json.dumps(shown)}")
        self._check(item.get("available") is True, "the connector is not available")

    def _change(self) -> None:
        self._title("The team changes the description; nothing restarts")
        took = self._write("github.yaml", GITHUB_CHANGED, lambda: "releases" in str(self._catalog()["connector_github"]["description"]))
        self._say(f"   GET /v1/connectors/connector_github shows the new description after {took * 1000:.0f} ms")

    def _miss_a_secret(self) -> None:
        self._title("Another connector names a Secret that does not exist")
        self._write("wiki.yaml", WIKI, lambda: self._condition("team-b/wiki", "ResolvedRefs").get("status") == "False")
        self._tell_condition("team-b/wiki", "ResolvedRefs")
        self._check(self._catalog()["wiki"].get("available") is False, "the connector without its Secret is called available")
        self._check_github("the other connector")
        self._say("   the catalog lists it as unavailable, with the reason; connector_github is not affected")
        self._title("The Secret arrives, and the connector heals by itself")
        took = self._write(
            "wiki-secret.yaml",
            WIKI_CREDENTIAL,
            lambda: self._ready("team-b/wiki") and self._catalog()["wiki"].get("available") is True,
        )
        self._say(f"   Ready=True after {took * 1000:.0f} ms")

    def _break(self) -> None:
        self._title("Somebody saves broken YAML")
        self._write("github.yaml", GITHUB_BROKEN, lambda: bool(self._problems("github.yaml")))
        (problem, *_) = self._problems("github.yaml")
        self._check(bool(problem.get("line") and problem.get("column")), "the problem names no line and column")
        self._say(f"   github.yaml:{problem['line']}:{problem['column']}: {problem['message']}")
        self._check_github("the connector of the broken file")
        self._check(self._ready("team-b/wiki"), "another connector was hurt by the broken file")
        self._say("   the last good content stays in use, and the other files are not affected")
        self._write("github.yaml", GITHUB_CHANGED, lambda: not self._problems("github.yaml"), show=False)
        self._say("   the file is corrected: the problem is gone")

    def _conflict(self) -> None:
        self._title("Another team claims an id that is taken")
        self._write("rival.yaml", RIVAL, lambda: self._condition("team-c/rival", "Accepted").get("reason") == "IDConflict")
        self._tell_condition("team-c/rival", "Accepted")
        message = self._condition("team-c/rival", "Accepted")["message"]
        self._check("team-a/github" in message, "the message does not name the winner")
        self._check_github("the owner of the id")

    def _status(self) -> None:
        self._title("junctor status shows all of it")
        command = [sys.executable, "-m", "junctor.cli.main", "status", "--management", self._standalone.management]
        result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)  # noqa: S603  # our own program
        self._show(result.stdout)
        self._check(result.returncode == 0, f"junctor status ended with {result.returncode}: {result.stderr}")
        self._check(re.search(r"team-c +rival.* False", result.stdout) is not None, "junctor status does not show the conflict")

    def _remove(self) -> None:
        self._title("The winner's file is deleted: the id goes to the one that waited")
        (self._standalone.manifests / "github.yaml").unlink()
        begun = time.monotonic()
        self._until(
            lambda: str(self._catalog()["connector_github"].get("server_url")).startswith("https://rival"), "rival did not take over"
        )
        self._say(f"   connector_github leads to rival.example after {(time.monotonic() - begun) * 1000:.0f} ms")
        (self._standalone.manifests / "rival.yaml").unlink()
        self._until(lambda: "connector_github" not in self._catalog(), "the deleted connector is still listed")
        self._say("   its file is deleted too: the API no longer lists the id")

    def _stop(self) -> None:
        self._title("SIGTERM stops it")
        code, seconds = self._standalone.stop()
        self._check(code == 0, f"the standalone ended with exit code {code}")
        self._say(f"   exit code 0 after {seconds:.1f} s")

    # --- showing ----------------------------------------------------------------------------------------------------------------------

    def _title(self, text: str) -> None:
        self._step += 1
        self._say(f"\n{self._step}. {text}")

    def _show(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            self._say(f"   | {line}")

    def _tell_condition(self, resource: str, kind: str) -> None:
        condition = self._condition(resource, kind)
        self._say(f"   {resource}: {kind}={condition.get('status')}, {condition.get('reason')}")
        self._say(f'   "{condition.get("message")}"')

    # --- doing and checking -----------------------------------------------------------------------------------------------------------

    def _write(self, name: str, text: str, effect: Callable[[], bool], *, show: bool = True) -> float:
        """Write a manifest and wait for its effect; gives the seconds."""
        if show:
            self._say(f"   {name}:")
            self._show(text)
        begun = time.monotonic()
        (self._standalone.manifests / name).write_text(text, encoding="utf-8")
        self._until(effect, f"{name} had no effect")
        return time.monotonic() - begun

    def _until(self, effect: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not effect():
            if time.monotonic() > deadline:
                raise Failed(f"step {self._step}: {what} within {DEADLINE:.0f} s")
            time.sleep(_POLL)

    def _check(self, fact: bool, otherwise: str) -> None:
        if not fact:
            raise Failed(f"step {self._step}: {otherwise}")

    def _check_github(self, what: str) -> None:
        item = self._catalog().get("connector_github", {})
        good = item.get("available") is True and "releases" in str(item.get("description")) and "github" in str(item.get("server_url"))
        self._check(good, f"{what} was hurt")

    def _get(self, url: str) -> Any:
        try:
            response = self._client.get(url)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Failed(f"step {self._step}: GET {url}: {error}") from error

    def _catalog(self) -> dict[str, Mapping[str, Any]]:
        return {item["id"]: item for item in self._get("/v1/connectors")["data"]}

    def _resources(self) -> Any:
        return self._get(f"{self._standalone.management}/-/resources")

    def _problems(self, name: str) -> list[Mapping[str, Any]]:
        return [problem for problem in self._resources()["problems"] if Path(problem["file"]).name == name]

    def _condition(self, resource: str, kind: str) -> Mapping[str, Any]:
        for item in self._resources()["resources"]:
            if item["kind"] == "MCPConnector" and f"{item['metadata']['namespace']}/{item['metadata']['name']}" == resource:
                return next((found for found in item["status"].get("conditions", ()) if found["type"] == kind), {})
        return {}

    def _ready(self, resource: str) -> bool:
        return self._condition(resource, "Ready").get("status") == "True"
