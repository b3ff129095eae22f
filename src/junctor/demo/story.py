"""The steps of `junctor demo`: what is shown, done and checked."""

import json
import re
import subprocess
import sys
import time
from typing import Final

from junctor.demo.calling import Calling
from junctor.demo.manifests import GITHUB, GITHUB_BROKEN, GITHUB_CHANGED, RIVAL, WIKI, WIKI_CREDENTIAL, orders
from junctor.demo.scene import Scene
from junctor.demo.telling import DEADLINE, Telling

FAREWELL: Final = """
That was all: every step did what it says.

What to try next:
  mkdir connectors; junctor standalone --manifests connectors    your own manifests, on http://127.0.0.1:8321
  ... --upstream URL                                             with a model server: POST /v1/responses
  junctor validate connectors                                    check manifests before you apply them
  junctor render connectors                                      see the connector map that they lead to
  junctor operator --help, junctor gateway --help                the same in a Kubernetes cluster"""


class Story:
    """Tells and checks. server: URL of the demo's MCP server, without a path; parcel: what only its tool can say."""

    def __init__(self, scene: Scene, telling: Telling, *, server: str, parcel: str) -> None:
        self._scene = scene
        self._telling = telling
        self._say = telling.say
        self._server = server
        self._parcel = parcel

    def tell(self) -> None:
        """All steps in order. Raises Failed."""
        self._start()
        self._apply()
        self._list()
        self._change()
        self._miss_a_secret()
        self._break()
        self._conflict()
        self._status()
        self._remove()
        self._declare_a_server()
        Calling(self._telling, f"{self._scene.standalone.url}/v1", self._parcel).tell()
        self._stop()

    # --- the steps --------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._say(
            "Junctor lets teams declare MCP servers as resources and lets applications use them by id. In a cluster the resources are"
        )
        self._say("applied with kubectl; here they are files in a directory. Servers named .example are never contacted.")
        self._telling.title("junctor standalone runs: no cluster, no network")
        self._say(f"   applications use {self._scene.standalone.url}; the manifests are the files of one directory")

    def _apply(self) -> None:
        self._telling.title("A team declares its MCP server: an MCPConnector")
        took = self._scene.write("github.yaml", GITHUB, lambda: "connector_github" in self._scene.catalog())
        self._say(f"   the API lists it {took * 1000:.0f} ms after the file was written")

    def _list(self) -> None:
        self._telling.title("Applications see it")
        self._say("   GET /v1/connectors")
        item = self._scene.catalog()["connector_github"]
        shown = {key: item.get(key) for key in ("id", "description", "available", "server_url")}
        self._say(f"   {json.dumps(shown)}")
        self._telling.check(item.get("available") is True, "the connector is not available")

    def _change(self) -> None:
        self._telling.title("The team changes the description; nothing restarts")
        took = self._scene.write(
            "github.yaml", GITHUB_CHANGED, lambda: "releases" in str(self._scene.catalog()["connector_github"]["description"])
        )
        self._say(f"   GET /v1/connectors/connector_github shows the new description after {took * 1000:.0f} ms")

    def _miss_a_secret(self) -> None:
        self._telling.title("Another connector names a Secret that does not exist")
        self._scene.write("wiki.yaml", WIKI, lambda: self._scene.condition("team-b/wiki", "ResolvedRefs").get("status") == "False")
        self._tell_condition("team-b/wiki", "ResolvedRefs")
        self._telling.check(self._scene.catalog()["wiki"].get("available") is False, "the connector without its Secret is called available")
        self._check_github("the other connector")
        self._say("   the catalog lists it as unavailable, with the reason; connector_github is not affected")
        self._telling.title("The Secret arrives, and the connector heals by itself")
        took = self._scene.write(
            "wiki-secret.yaml",
            WIKI_CREDENTIAL,
            lambda: self._scene.ready("team-b/wiki") and self._scene.catalog()["wiki"].get("available") is True,
        )
        self._say(f"   Ready=True after {took * 1000:.0f} ms")

    def _break(self) -> None:
        self._telling.title("Somebody saves broken YAML")
        self._scene.write("github.yaml", GITHUB_BROKEN, lambda: bool(self._scene.problems("github.yaml")))
        (problem, *_) = self._scene.problems("github.yaml")
        self._telling.check(problem.get("line") and problem.get("column"), "the problem names no line and column")
        self._say(f"   github.yaml:{problem['line']}:{problem['column']}: {problem['message']}")
        self._check_github("the connector of the broken file")
        self._telling.check(self._scene.ready("team-b/wiki"), "another connector was hurt by the broken file")
        self._say("   the last good content stays in use, and the other files are not affected")
        self._scene.write("github.yaml", GITHUB_CHANGED, lambda: not self._scene.problems("github.yaml"), show=False)
        self._say("   the file is corrected: the problem is gone")

    def _conflict(self) -> None:
        self._telling.title("Another team claims an id that is taken")
        self._scene.write("rival.yaml", RIVAL, lambda: self._scene.condition("team-c/rival", "Accepted").get("reason") == "IDConflict")
        self._tell_condition("team-c/rival", "Accepted")
        message = self._scene.condition("team-c/rival", "Accepted")["message"]
        self._telling.check("team-a/github" in message, "the message does not name the winner")
        self._check_github("the owner of the id")

    def _status(self) -> None:
        self._telling.title("junctor status shows all of it")
        command = [sys.executable, "-m", "junctor.cli.main", "status", "--management", self._scene.standalone.management]
        result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)  # noqa: S603  # our own program
        self._telling.show(result.stdout)
        self._telling.check(result.returncode == 0, f"junctor status ended with {result.returncode}: {result.stderr}")
        self._telling.check(re.search(r"team-c +rival.* False", result.stdout), "junctor status does not show the conflict")

    def _remove(self) -> None:
        self._telling.title("The winner's file is deleted: the id goes to the one that waited")
        self._scene.delete("github.yaml")
        begun = time.monotonic()
        self._telling.until(
            lambda: str(self._scene.catalog()["connector_github"].get("server_url")).startswith("https://rival"), "rival did not take over"
        )
        self._say(f"   connector_github leads to rival.example after {(time.monotonic() - begun) * 1000:.0f} ms")
        self._scene.delete("rival.yaml")
        self._telling.until(lambda: "connector_github" not in self._scene.catalog(), "the deleted connector is still listed")
        self._say("   its file is deleted too: the API no longer lists the id")

    def _declare_a_server(self) -> None:
        self._telling.title("A connector for an MCP server that really runs, on this computer")
        took = self._scene.write("orders.yaml", orders(self._server), lambda: "connector_orders" in self._scene.catalog())
        self._say(f"   the API lists it after {took * 1000:.0f} ms. GET /v1/connectors/connector_orders/tools asks the server:")
        tools = self._scene.get("/v1/connectors/connector_orders/tools")["data"]
        self._telling.check([tool["name"] for tool in tools] == ["order_status"], f"other tools than order_status: {tools}")
        self._say(f"   {tools[0]['name']}: {tools[0]['description']}")

    def _stop(self) -> None:
        self._telling.title("SIGTERM stops it")
        code, seconds = self._scene.standalone.stop()
        self._telling.check(code == 0, f"the standalone ended with exit code {code}")
        self._say(f"   exit code 0 after {seconds:.1f} s")

    # --- showing and checking ---------------------------------------------------------------------------------------------------------

    def _tell_condition(self, resource: str, kind: str) -> None:
        condition = self._scene.condition(resource, kind)
        self._say(f"   {resource}: {kind}={condition.get('status')}, {condition.get('reason')}")
        self._say(f'   "{condition.get("message")}"')

    def _check_github(self, what: str) -> None:
        item = self._scene.catalog().get("connector_github", {})
        good = item.get("available") is True and "releases" in str(item.get("description")) and "github" in str(item.get("server_url"))
        self._telling.check(good, f"{what} was hurt")
