"""An operator whose API server does not answer waits for it, says so, and can be stopped."""

from pathlib import Path

import yaml

from tests.cluster.api import wait_for
from tests.cluster.processes import operator


def test_operator_without_an_api_server_waits_and_ends_with_success_on_sigterm(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    kubeconfig.write_text(
        yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [context], "clusters": [cluster], "users": [user]}
        )
    )
    config = tmp_path / "operator.yaml"
    gateway = {"name": "default", "namespace": "junctor"}
    config.write_text(yaml.safe_dump({"apiVersion": "config.junctor.dev/v1alpha1", "kind": "OperatorConfiguration", "gateways": [gateway]}))
    with operator(config, kubeconfig, "--health-port", "0", log_file=tmp_path / "operator.log") as process:
        wait_for(lambda: "waiting for the API server" in process.log(), describe=lambda: f"it says what it waits for\n{process.log()}")
        process.terminate()
        assert process.returncode == 0
        assert "Traceback" not in process.log()
