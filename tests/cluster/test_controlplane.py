"""The harness itself: what the other cluster tests rely on."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cluster.api import Api, ApiError, Object, wait_for
from tests.cluster.controlplane import ControlPlane, KubectlFailed
from tests.cluster.pods import GatewayPod, create_gateway_pods
from tests.cluster.processes import Process, ProcessFailed
from tests.support.ports import free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    with Process("server", command, log_file=tmp_path / "server.log") as process:
        yield process, f"http://127.0.0.1:{port}/"


def _config_map(namespace: str, name: str, value: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"key": value}}


def test_the_server_reports_the_version_that_go_mod_asks_for(control_plane: ControlPlane) -> None:
    assert "Server Version: v1.36.3" in control_plane.kubectl("version").stdout


def test_objects_are_written_and_read_in_every_way(api: Api, namespace: str) -> None:
    created = api.create(_config_map(namespace, "one", "created"))
    api.replace({**created, "data": {"key": "replaced"}})
    api.patch("v1/ConfigMap", "one", {"data": {"other": "patched"}}, namespace)
    api.apply(_config_map(namespace, "two", "applied"))

    assert api.get("v1/ConfigMap", "one", namespace)["data"] == {"key": "replaced", "other": "patched"}
    assert {item["metadata"]["name"] for item in api.list("v1/ConfigMap", namespace)} >= {"one", "two"}

    api.delete("v1/ConfigMap", "one", namespace)
    api.delete("v1/ConfigMap", "one", namespace)
    assert api.find("v1/ConfigMap", "one", namespace) is None


def test_a_stale_write_is_a_conflict(api: Api, namespace: str) -> None:
    old = api.create(_config_map(namespace, "one", "1"))
    api.replace({**old, "data": {"key": "2"}})

    with pytest.raises(ApiError, match="Conflict") as caught:
        api.replace({**old, "data": {"key": "3"}})
    assert caught.value.status == 409


def test_an_owner_takes_what_it_owns_along(api: Api, namespace: str) -> None:
    owner = api.create(_config_map(namespace, "owner", ""))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = _config_map(namespace, "owned", "")
    owned["metadata"]["ownerReferences"] = [reference]
    api.create(owned)

    api.delete("v1/ConfigMap", "owner", namespace)

    wait_for(lambda: api.find("v1/ConfigMap", "owned", namespace) is None, describe="the owned object is collected")


def test_a_service_account_may_do_nothing_until_it_is_allowed_and_the_audit_log_says_so(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubeconfig = control_plane.kubeconfig_for_token(control_plane.service_account_token(namespace, "default"))

    with pytest.raises(KubectlFailed, match="forbidden"):
        control_plane.kubectl("get", "secrets", "--namespace", namespace, kubeconfig=kubeconfig)

    user = f"system:serviceaccount:{namespace}:default"
    asked = [event for event in control_plane.audit_events() if event["user"].get("username") == user]
    assert ("list", "secrets", 403) in {
        (event["verb"], event.get("objectRef", {}).get("resource"), event["responseStatus"]["code"]) for event in asked
    }


@pytest.mark.parametrize("end", ["stop_apiserver", "kill_apiserver"])
def test_what_was_stored_is_there_after_an_outage(end: str) -> None:
    with ControlPlane(audit=False) as control_plane, control_plane.api() as api:
        api.create(_config_map("default", "kept", "value"))

        getattr(control_plane, end)()
        with pytest.raises(httpx.TransportError):
            api.get("v1/ConfigMap", "kept", "default")

        control_plane.start_apiserver()
        kept = wait_for(lambda: api.get("v1/ConfigMap", "kept", "default"), describe="the API server answers again")
        assert kept["data"] == {"key": "value"}
    assert not control_plane.directory.exists()


def test_gateway_pods_show_their_address_and_readiness(api: Api, namespace: str) -> None:
    create_gateway_pods(api, namespace, ["127.0.0.2", "127.0.0.3"], gateway="blue")
    GatewayPod.create(api, namespace, "green-0", "127.0.0.4", gateway="green", ready=False)

    blue = api.list("v1/Pod", namespace, labels="junctor.dev/gateway=blue")
    assert [(pod["metadata"]["name"], pod["status"]["phase"], pod["status"]["podIP"]) for pod in blue] == [
        ("blue-0", "Running", "127.0.0.2"),
        ("blue-1", "Running", "127.0.0.3"),
    ]
    assert [_is_ready(pod) for pod in blue] == [True, True]
    assert not _is_ready(api.get("v1/Pod", "green-0", namespace))


def test_a_gateway_pod_changes_its_readiness_and_address_and_goes(control_plane: ControlPlane, api: Api, namespace: str) -> None:
    pod = GatewayPod.create(api, namespace, "one", "127.0.0.2")
    control_plane.kubectl("wait", "--for=condition=Ready", "pod/one", "--namespace", namespace, "--timeout=5s")

    pod.set_ready(False)
    pod.set_ip("127.0.0.9")

    assert not _is_ready(pod.read())
    assert pod.read()["status"]["podIPs"] == [{"ip": "127.0.0.9"}]
    pod.delete()
    assert api.find("v1/Pod", "one", namespace) is None


def test_a_process_is_ready_when_it_answers_and_ends_when_told(server: tuple[Process, str]) -> None:
    process, url = server

    process.wait_until_ready(url)
    assert process.running
    assert process.terminate() >= 0
    assert process.returncode == -15
    assert "GET / " in process.log()


def test_a_process_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    process = Process("talker", [sys.executable, "-c", "raise SystemExit('no configuration')"], log_file=tmp_path / "log")
    with process, pytest.raises(ProcessFailed, match="no configuration"):
        process.wait_until_ready(f"http://127.0.0.1:{free_port()}/")


def test_a_process_dies_with_its_parent(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from tests.cluster.processes import Process
child = Process("child", ["sleep", "600"], log_file=Path({str(tmp_path / "log")!r}))
print(child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        assert child.exists()
        parent.kill()
    wait_for(lambda: _gone(child), describe="the child is gone")


def test_waiting_says_what_for_and_what_went_wrong_last(api: Api) -> None:
    with pytest.raises(TimeoutError, match=r"the unicorn; last error: ApiError\('404 NotFound"):
        wait_for(lambda: api.get("v1/Namespace", "unicorn"), 0.1, "the unicorn")


def _is_ready(pod: Object) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"]["conditions"])


def _gone(process: Path) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return " Z " in (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
