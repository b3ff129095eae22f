"""The steps of `junctor demo` in order."""

import json
import re
import subprocess
import sys
from typing import Final

from junctor.demo.checks import DEADLINE, Checks
from junctor.demo.client_steps import ClientSteps
from junctor.demo.manifests import GITHUB, GITHUB_BROKEN, GITHUB_CHANGED, RIVAL, WIKI, WIKI_CREDENTIAL, orders
from junctor.demo.standalone_client import StandaloneClient

FAREWELL: Final = """
That is all: every step did what it says.

What to try next:
  mkdir connectors; junctor standalone --manifests connectors    your own manifests, on http://127.0.0.1:8321
  ... --upstream URL                                             with a model server: POST /v1/responses
  junctor validate connectors                                    check manifests before you apply them
  junctor render connectors                                      see the connector map that they lead to
  junctor operator --help, junctor gateway --help                the same in a Kubernetes cluster"""


class DemoSteps:
    """The steps. server: URL of the demo's MCP server, without a path. parcel: a number that only its tool knows."""

    def __init__(self, client: StandaloneClient, checks: Checks, *, server: str, parcel: str) -> None:
        self._client = client
        self._checks = checks
        self._say = checks.say
        self._server = server
        self._parcel = parcel

    def run(self) -> None:
        """Run all steps in order. Raises StepFailed."""
        self._start()
        self._apply()
        self._list()
        self._change()
        self._reference_a_missing_secret()
        self._break_a_file()
        self._claim_a_taken_id()
        self._show_status()
        self._remove()
        self._declare_a_running_server()
        ClientSteps(self._checks, f"{self._client.process.url}/v1", self._parcel).run()
        self._stop()

    # --- the steps --------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._say(
            "Junctor lets teams declare MCP servers as resources and lets applications use them by id. In a cluster the resources are"
        )
        self._say("applied with kubectl; here they are files in a directory. Servers named .example are never contacted.")
        self._checks.begin_step("junctor standalone runs: no cluster, no network")
        self._say(f"   applications use {self._client.process.url}; the manifests are the files of one directory")

    def _apply(self) -> None:
        self._checks.begin_step("A team declares its MCP server: an MCPConnector")
        took = self._client.write("github.yaml", GITHUB, lambda: "connector_github" in self._client.catalog())
        self._say(f"   the API lists it {took * 1000:.0f} ms after the file was written")

    def _list(self) -> None:
        self._checks.begin_step("Applications see it")
        self._say("   GET /v1/connectors")
        item = self._client.catalog()["connector_github"]
        shown = {key: item.get(key) for key in ("id", "description", "available", "server_url")}
        self._say(f"   {json.dumps(shown)}")
        self._checks.check(item.get("available") is True, "the connector is not available")

    def _change(self) -> None:
        self._checks.begin_step("The team changes the description; nothing restarts")
        took = self._client.write(
            "github.yaml", GITHUB_CHANGED, lambda: "releases" in str(self._client.catalog()["connector_github"]["description"])
        )
        self._say(f"   GET /v1/connectors/connector_github shows the new description after {took * 1000:.0f} ms")

    def _reference_a_missing_secret(self) -> None:
        self._checks.begin_step("Another connector names a Secret that does not exist")
        self._client.write("wiki.yaml", WIKI, lambda: self._client.condition("team-b/wiki", "ResolvedRefs").get("status") == "False")
        self._say_condition("team-b/wiki", "ResolvedRefs")
        self._checks.check(
            self._client.catalog()["wiki"].get("available") is False, "the connector without its Secret is listed as available"
        )
        self._check_github("the other connector")
        self._say("   the catalog lists it as unavailable, with the reason; connector_github is not affected")
        self._checks.begin_step("The Secret is created, and the connector recovers by itself")
        took = self._client.write(
            "wiki-secret.yaml",
            WIKI_CREDENTIAL,
            lambda: self._client.is_ready("team-b/wiki") and self._client.catalog()["wiki"].get("available") is True,
        )
        self._say(f"   Ready=True after {took * 1000:.0f} ms")

    def _break_a_file(self) -> None:
        self._checks.begin_step("Somebody saves a file with broken YAML")
        self._client.write("github.yaml", GITHUB_BROKEN, lambda: bool(self._client.problems("github.yaml")))
        (problem, *_) = self._client.problems("github.yaml")
        self._checks.check(problem.get("line") and problem.get("column"), "the problem names no line and column")
        self._say(f"   github.yaml:{problem['line']}:{problem['column']}: {problem['message']}")
        self._check_github("the connector of the broken file")
        self._checks.check(self._client.is_ready("team-b/wiki"), "the broken file affected another connector")
        self._say("   the last good content stays in use, and the other files are not affected")
        self._client.write("github.yaml", GITHUB_CHANGED, lambda: not self._client.problems("github.yaml"), show=False)
        self._say("   the file is corrected, and the problem disappears")

    def _claim_a_taken_id(self) -> None:
        self._checks.begin_step("Another team claims an id that is taken")
        self._client.write("rival.yaml", RIVAL, lambda: self._client.condition("team-c/rival", "Accepted").get("reason") == "IDConflict")
        self._say_condition("team-c/rival", "Accepted")
        message = self._client.condition("team-c/rival", "Accepted")["message"]
        self._checks.check("team-a/github" in message, "the message does not name the owner")
        self._check_github("the owner of the id")

    def _show_status(self) -> None:
        self._checks.begin_step("junctor status shows everything")
        command = [sys.executable, "-m", "junctor.cli.main", "status", "--management", self._client.process.management]
        result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)  # noqa: S603  # our own program
        self._checks.show(result.stdout)
        self._checks.check(result.returncode == 0, f"junctor status ended with {result.returncode}: {result.stderr}")
        self._checks.check(re.search(r"team-c +rival.* False", result.stdout), "junctor status does not show the conflict")

    def _remove(self) -> None:
        self._checks.begin_step("The owner's file is deleted; no other namespace gets the id at once")
        self._client.delete("github.yaml")
        self._checks.wait_for(
            lambda: self._client.condition("team-c/rival", "Accepted").get("reason") == "IDQuarantined", "rival does not wait for the id"
        )
        self._checks.check("connector_github" not in self._client.catalog(), "rival took over, or the deleted connector is still listed")
        self._say_condition("team-c/rival", "Accepted")
        took = self._client.write("github.yaml", GITHUB_CHANGED, lambda: "connector_github" in self._client.catalog(), show=False)
        self._check_github("the connector that was created again")
        self._say(f"   the owner creates it again and has its id back after {took * 1000:.0f} ms")
        for file in ("rival.yaml", "github.yaml"):
            self._client.delete(file)
        self._checks.wait_for(lambda: "connector_github" not in self._client.catalog(), "the deleted connector is still listed")
        self._say("   both files are deleted: the API no longer lists the id")

    def _declare_a_running_server(self) -> None:
        self._checks.begin_step("A connector for an MCP server that really runs, on this computer")
        took = self._client.write("orders.yaml", orders(self._server), lambda: "connector_orders" in self._client.catalog())
        self._say(f"   the API lists it after {took * 1000:.0f} ms. GET /v1/connectors/connector_orders/tools asks the server:")
        tools = self._client.get("/v1/connectors/connector_orders/tools")["data"]
        self._checks.check([tool["name"] for tool in tools] == ["order_status"], f"the tools are not order_status alone: {tools}")
        self._say(f"   {tools[0]['name']}: {tools[0]['description']}")

    def _stop(self) -> None:
        self._checks.begin_step("SIGTERM stops it")
        code, seconds = self._client.process.stop()
        self._checks.check(code == 0, f"the standalone ended with exit code {code}")
        self._say(f"   exit code 0 after {seconds:.1f} s")

    # --- printing and checking ---------------------------------------------------------------------------------------------------------

    def _say_condition(self, resource: str, kind: str) -> None:
        condition = self._client.condition(resource, kind)
        self._say(f"   {resource}: {kind}={condition.get('status')}, {condition.get('reason')}")
        self._say(f'   "{condition.get("message")}"')

    def _check_github(self, what: str) -> None:
        item = self._client.catalog().get("connector_github")
        good = item is not None and item["available"] and "releases" in str(item["description"]) and "github" in str(item["server_url"])
        self._checks.check(good, f"{what} was affected")
