"""`make demo CLUSTER=1`: the steps of `junctor demo` on a real Kubernetes API server, with kubectl, the operator and two gateways."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from junctor.demo.checks import Checks, StepFailed
from junctor.demo.client_steps import ClientSteps, new_parcel
from junctor.demo.manifests import GITHUB, GITHUB_CHANGED, RIVAL, WIKI, WIKI_CREDENTIAL, orders
from junctor.demo.processes import DemoServer, isolate
from tests.cluster.api import wait_for
from tests.cluster.controlplane import ControlPlane, KubectlFailed
from tests.cluster.pods import create_gateway_pods
from tests.cluster.processes import Process, ProcessFailed, gateway, operator
from tests.cluster.resources import install_crds
from tests.cluster.tools import ToolError, kubernetes_version
from tests.support.ports import free_port

ADDRESSES = ["127.0.0.2", "127.0.0.3"]
NAMESPACE = "junctor"
DEADLINE = 30.0


class ClusterDemo:
    """A control plane with an operator and two gateways, and the steps. Leaving the stack ends everything."""

    def __init__(self, control_plane: ControlPlane, stack: ExitStack) -> None:
        self._control_plane = control_plane
        self._stack = stack
        self._checks = Checks(partial(print, flush=True))
        self._parcel = new_parcel()
        self._clients: list[httpx.Client] = []
        self._processes: list[Process] = []

    def run(self) -> None:
        """Run all steps in order. Raises StepFailed."""
        self._start()
        self._apply_and_change()
        self._miss_a_secret()
        self._be_refused()
        self._conflict()
        self._remove()
        self._call()
        self._stop()

    # --- the steps --------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._checks.begin_step(f"Kubernetes {kubernetes_version()}, the operator and two gateway pods run on this machine")
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="junctor-demo-")))
        port, management_port = free_port(), free_port()
        config = directory / "operator.yaml"
        config.write_text(
            "apiVersion: config.junctor.dev/v1alpha1\nkind: OperatorConfiguration\n"
            f"gateways: [{{name: default, namespace: {NAMESPACE}, managementPort: {management_port}}}]\n"
        )
        model = self._stack.enter_context(DemoServer("the scripted model", "model_server", directory / "model.log"))
        self._server = self._stack.enter_context(DemoServer("the MCP server", "mcp_server", directory / "server.log", self._parcel))
        with self._control_plane.api() as api:
            install_crds(api)
            for namespace in (NAMESPACE, "team-a", "team-b", "team-c", "team-d"):
                api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            kubeconfig = self._control_plane.kubeconfig
            process = operator(config, kubeconfig, "--health-port", "0", log_file=directory / "operator.log")
            self._processes.append(self._stack.enter_context(process))
            for address in ADDRESSES:
                process = gateway(
                    f"configmap:{NAMESPACE}/junctor-connectors",
                    *("--management-host", address, "--upstream", model.url),
                    host=address,
                    port=port,
                    management_port=management_port,
                    kubeconfig=kubeconfig,
                    log_file=directory / f"gateway-{address}.log",
                    name=f"gateway {address}",
                )
                self._processes.append(self._stack.enter_context(process))
                process.wait_until_ready(f"http://{address}:{management_port}/-/readyz")
                client = httpx.Client(base_url=f"http://{address}:{port}", timeout=DEADLINE, trust_env=False)
                self._clients.append(self._stack.enter_context(client))
            create_gateway_pods(api, NAMESPACE, ADDRESSES)
        for client in self._clients:
            print(f"   a gateway serves {client.base_url}")
        # The first kubectl asks for everything that the API server knows, which the times below are not about.
        self._control_plane.kubectl("get", "mcpc", "-A")

    def _apply_and_change(self) -> None:
        self._checks.begin_step("A team declares its MCP server")
        took = self._apply(GITHUB, lambda catalog: "connector_github" in catalog)
        print(f"   both gateways list it {took}")
        self._kubectl("wait", "--for=condition=Ready", "-n", "team-a", "mcpc/github", f"--timeout={DEADLINE:.0f}s")
        self._checks.begin_step("The team changes the description; nothing restarts")
        took = self._apply(GITHUB_CHANGED, lambda catalog: "releases" in str(catalog["connector_github"]["description"]))
        print(f"   both gateways show it {took}")

    def _miss_a_secret(self) -> None:
        self._checks.begin_step("Another connector names a Secret that does not exist")
        self._apply(WIKI, lambda catalog: catalog.get("wiki", {}).get("available") is False)
        self._kubectl("wait", "--for=condition=ResolvedRefs=False", "-n", "team-b", "mcpc/wiki", f"--timeout={DEADLINE:.0f}s")
        self._kubectl(
            "get", "mcpc", "-n", "team-b", "wiki", "-o", 'jsonpath={.status.conditions[?(@.type=="ResolvedRefs")].message}{"\\n"}'
        )
        self._check_github()
        self._checks.begin_step("The Secret arrives, and the connector heals by itself")
        took = self._apply(WIKI_CREDENTIAL, lambda catalog: catalog["wiki"]["available"] is True)
        print(f"   both gateways can use it {took}")

    def _be_refused(self) -> None:
        self._checks.begin_step("What cannot work is refused by kubectl apply, with what to do")
        for text in (GITHUB_CHANGED.replace("https://", "ftp://"), GITHUB_CHANGED.replace("connector_github", "another_id")):
            answer = self._control_plane.kubectl("apply", "-f", "-", input=text, check=False)
            self._checks.check(answer.returncode != 0, "the API server took a manifest that it should refuse")
            self._checks.show(answer.stderr)
        self._check_github()

    def _conflict(self) -> None:
        self._checks.begin_step("Another team claims an id that is taken")
        self._control_plane.kubectl("apply", "-f", "-", input=RIVAL)
        self._kubectl("wait", "--for=condition=Accepted=False", "-n", "team-c", "mcpc/rival", f"--timeout={DEADLINE:.0f}s")
        answer = self._kubectl("get", "mcpc", "-A", "-o", "wide")
        self._checks.check("team-a/github" in answer, "the message does not name the winner")
        self._check_github()

    def _remove(self) -> None:
        self._checks.begin_step("The winner is deleted; no other namespace gets the id at once")
        self._kubectl("delete", "mcpc", "-n", "team-a", "github")
        reason = "jsonpath={.status.conditions[?(@.type=='Accepted')].reason}=IDQuarantined"
        self._kubectl("wait", f"--for={reason}", "-n", "team-c", "mcpc/rival", f"--timeout={DEADLINE:.0f}s")
        self._until(lambda catalog: "connector_github" not in catalog)
        took = self._apply(GITHUB_CHANGED, lambda catalog: "connector_github" in catalog)
        self._check_github()
        print(f"   the winner is created again and has its id back {took}")
        self._kubectl("delete", "mcpc", "-n", "team-c", "rival")
        self._kubectl("delete", "mcpc", "-n", "team-a", "github")
        self._until(lambda catalog: "connector_github" not in catalog)
        print("   both are deleted: no gateway lists the id")

    def _call(self) -> None:
        self._checks.begin_step("A connector for an MCP server that really runs, on this computer")
        took = self._apply(orders(self._server.url), lambda catalog: "connector_orders" in catalog)
        print(f"   both gateways list it {took}")
        ClientSteps(self._checks, f"{str(self._clients[0].base_url).rstrip('/')}/v1", self._parcel).run()

    def _stop(self) -> None:
        self._checks.begin_step("SIGTERM stops the operator and the gateways")
        for process in self._processes:
            seconds = process.terminate()
            self._checks.check(process.returncode == 0, f"{process.name} ended with exit code {process.returncode}\n{process.tail()}")
            print(f"   {process.name}: exit code 0 after {seconds:.1f} s")

    # --- doing and checking -----------------------------------------------------------------------------------------------------------

    def _kubectl(self, *arguments: str) -> str:
        print(f"   $ kubectl {' '.join(arguments)}")
        answer = self._control_plane.kubectl(*arguments).stdout
        self._checks.show(answer)
        return answer

    def _apply(self, text: str, effect: Callable[[Mapping[str, Any]], bool]) -> str:
        """Apply a manifest and wait for its effect on every gateway; gives the time that it took, in words."""
        print("   $ kubectl apply -f -")
        self._checks.show(text)
        begun = time.monotonic()
        self._control_plane.kubectl("apply", "-f", "-", input=text)
        applied = time.monotonic()
        self._until(effect)
        served = time.monotonic()
        return f"{(served - begun) * 1000:.0f} ms after kubectl was started, {(served - applied) * 1000:.0f} ms after it ended"

    def _until(self, effect: Callable[[Mapping[str, Any]], bool]) -> None:
        def everywhere() -> bool:
            return all(effect(catalog) for catalog in self._catalogs())

        wait_for(everywhere, DEADLINE, lambda: f"step {self._checks.step} shows on every gateway; {self._processes[0].tail(10)}")

    def _catalogs(self) -> list[dict[str, Mapping[str, Any]]]:
        answers = [client.get("/v1/connectors").raise_for_status().json() for client in self._clients]
        return [{item["id"]: item for item in answer["data"]} for answer in answers]

    def _check_github(self) -> None:
        for catalog in self._catalogs():
            item = catalog.get("connector_github", {})
            good = item.get("available") is True and "releases" in str(item.get("description")) and "github" in str(item.get("server_url"))
            self._checks.check(good, f"connector_github was hurt: {item}")


def main() -> int:
    """Run the demo; 1 when a step does not do what it claims."""
    isolate()
    try:
        with ExitStack() as stack:
            control_plane = stack.enter_context(ControlPlane(audit=False))
            ClusterDemo(control_plane, stack).run()
    except (StepFailed, KubectlFailed, ProcessFailed, TimeoutError, ToolError, httpx.HTTPError) as failure:
        print(f"the demo failed: {failure}", file=sys.stderr)
        return 1
    print("\nThat was all: every step did what it says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
