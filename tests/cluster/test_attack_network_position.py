"""A registry of a tenant is asked from the operator's place in the network, which is no way into the operator's own pod."""

import socket
from pathlib import Path

from junctor.api.names import API_VERSION
from tests.cluster.api import Api, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import junctor
from tests.cluster.release import install_release
from tests.cluster.resources import fresh_namespace


def test_an_operator_asks_no_registry_on_its_own_machine(control_plane: ControlPlane, api: Api, tmp_path: Path) -> None:
    with fresh_namespace(api) as namespace, fresh_namespace(api) as team, socket.create_server(("127.0.0.1", 0)) as internal:
        release = install_release(control_plane, namespace, {"operator": {"namespaces": [team]}})
        port = internal.getsockname()[1]
        urls = {"ip": f"http://127.0.0.1:{port}", "name": f"http://localhost:{port}", "all": f"http://0.0.0.0:{port}"}
        for name, url in urls.items():
            metadata = {"name": name, "namespace": team}
            api.create({"apiVersion": API_VERSION, "kind": "MCPRegistry", "metadata": metadata, "spec": {"url": url}})
        given = ("--config", release.operator_config, "--kubeconfig", release.operator_kubeconfig, "--health-port", "0")
        with junctor("operator", *given, *release.operator_options, name="operator", log_file=tmp_path / "log"):

            def synced(name: str) -> str:
                conditions = api.get(f"{API_VERSION}/MCPRegistry", name, team).get("status", {}).get("conditions", [])
                return next((f"{item['reason']} {item['message']}" for item in conditions if item["type"] == "Synced"), "")

            wait_for(lambda: all(synced(name).startswith("AddressNotAllowed ") for name in urls), 60, lambda: str([*map(synced, urls)]))
            told = synced("name")
        release.uninstall()
        internal.setblocking(False)
        try:
            reached = bool(internal.accept())
        except BlockingIOError:
            reached = False
    assert not reached
    assert "is loopback, which networkPolicy does not allow; nothing was sent" in told
