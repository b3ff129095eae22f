"""A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, no node.

`python -m tests.cluster.controlplane` starts one, says how to use it and stays until Ctrl-C.
"""

import base64
import json
import os
import secrets
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import httpx

from tests.cluster.api import Api, wait_for
from tests.cluster.processes import Process, ProcessFailed
from tests.cluster.tools import Binaries, ToolError, find_binary, kubernetes_version
from tests.support.ports import free_port

__all__ = ["ControlPlane", "KubectlFailed", "find_binary"]

_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_GRACE_SECONDS = 2.0
_AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}


class KubectlFailed(Exception):
    """kubectl ended with an error; the message is what it said."""


class ControlPlane:
    """A control plane of its own, started by `start()` or on entering, gone with all its data after `stop()` or on leaving.

    kubeconfig: the administrator's (system:masters). server: https URL, the same for life. etcd: its URL. ca: PEM file that verifies it.
    audit_log: one JSON line for each request at level Metadata, empty with audit=False.
    """

    def __init__(self, *, audit: bool = True) -> None:
        self._binaries: Binaries = find_binary()
        self.directory = Path(tempfile.mkdtemp(prefix="junctor-cluster-"))
        self._port, self._etcd_port, self._peer_port = free_port(), free_port(), free_port()
        self.server = f"https://{_HOST}:{self._port}"
        self.etcd = f"http://{_HOST}:{self._etcd_port}"
        self.ca = self.directory / "certificates" / "apiserver.crt"
        self.kubeconfig = self.directory / "admin.kubeconfig"
        self.audit_log = self.directory / "audit.log"
        self.admin_token = secrets.token_urlsafe(24)
        self._audit = audit
        self._processes: dict[str, Process] = {}

    def start(self) -> None:
        """Start everything and wait until it can be used. Raises ProcessFailed with the end of a log."""
        try:
            self._write_files()
            self._run("etcd", self._binaries.etcd(self.directory / "etcd", self.etcd, f"http://{_HOST}:{self._peer_port}"))
            self._run("kube-apiserver", self._apiserver_command(self.etcd))
            self._wait_for_apiserver()
            self.kubeconfig_for_token(self.admin_token, self.kubeconfig)
            if self._binaries.has_controllers:
                self._run("kube-controller-manager", self._controllers_command())
            self._wait_for_defaults()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill everything and remove its data. Without its API server etcd does not hang, so that one goes first."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._processes:
                self._processes.pop(name).kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop_apiserver(self) -> None:
        """End the API server as an upgrade does: it refuses connections at once, what is open has two seconds left. The data stays."""
        try:
            self._processes["kube-apiserver"].terminate(timeout=_GRACE_SECONDS)
        except ProcessFailed:
            return  # it waits a minute for open watches; a node would not

    def kill_apiserver(self) -> None:
        """End the API server as a crash does, with SIGKILL; the data stays."""
        self._processes["kube-apiserver"].kill()

    def start_apiserver(self) -> None:
        """Start the API server again at its old address and wait until it is ready."""
        self._processes["kube-apiserver"].restart()
        self._wait_for_apiserver()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each component, to look at what it costs."""
        return {name: process.pid for name, process in self._processes.items()}

    def log(self, component: str) -> str:
        """What a component has written."""
        return self._processes[component].log()

    def api(self, token: str | None = None) -> Api:
        """A client for the administrator, or for whoever the token is. Close it."""
        return Api(self.server, ca=self.ca, token=token or self.admin_token)

    def kubectl_command(self, kubeconfig: Path | None = None) -> list[str]:
        """The beginning of a kubectl command line."""
        cache = self.directory / "kubectl-cache"
        return [*self._binaries.command("kubectl"), "--kubeconfig", str(kubeconfig or self.kubeconfig), "--cache-dir", str(cache)]

    def kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002  # as subprocess.run calls it
        check: bool = True,
        kubeconfig: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, or with another kubeconfig. Raises KubectlFailed, unless check=False."""
        command = [*self.kubectl_command(kubeconfig), *map(str, arguments)]
        answer = subprocess.run(command, input=input, text=True, capture_output=True)
        if check and answer.returncode:
            raise KubectlFailed(f"kubectl {shlex.join(map(str, arguments))}: {answer.stderr.strip()}")
        return answer

    def kubeconfig_for_token(self, token: str, path: Path | None = None) -> Path:
        """Write a kubeconfig for whoever the token is; its path."""
        path = path or self.directory / f"{secrets.token_hex(8)}.kubeconfig"
        cluster = {"server": self.server, "certificate-authority": str(self.ca)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(content, indent=1))
        path.chmod(0o600)
        return path

    def service_account_token(self, namespace: str, name: str, *, audience: str | None = None) -> str:
        """A real token of a service account, good for an hour; for the API server unless an audience is named."""
        audiences = [] if audience is None else ["--audience", audience]
        return self.kubectl("create", "token", name, "--namespace", namespace, *audiences).stdout.strip()

    def audit_events(self) -> list[dict[str, Any]]:
        """What was asked of the API server so far: verb, user, objectRef, responseStatus of each request."""
        text = self.audit_log.read_text() if self.audit_log.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def _run(self, name: str, command: list[str]) -> None:
        self._processes[name] = Process(name, command, log_file=self.directory / f"{name}.log")

    def _write_files(self) -> None:
        (self.directory / "tokens.csv").write_text(f'{self.admin_token},admin,admin,"system:masters"\n')
        (self.directory / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        (self.directory / "service-accounts.key").write_text(_private_key())
        wrapper = self.directory / "bin" / "kubectl"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(self._binaries.command("kubectl"))} "$@"\n')
        wrapper.chmod(0o755)

    def _apiserver_command(self, etcd: str) -> list[str]:
        key = self.directory / "service-accounts.key"
        flags: dict[str, object] = {
            "etcd-servers": etcd,
            "bind-address": _HOST,
            "advertise-address": _HOST,
            "endpoint-reconciler-type": "none",  # the address is loopback, which Endpoints refuse
            "secure-port": self._port,
            "cert-dir": self.ca.parent,
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-account-issuer": "https://kubernetes.default.svc",
            "token-auth-file": self.directory / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.0.0.0/24",
            "allow-privileged": "true",
        }
        if self._audit:
            flags |= {
                "audit-policy-file": self.directory / "audit-policy.json",
                "audit-log-path": self.audit_log,
                "audit-log-maxsize": 10_000,
            }
        if not self._binaries.has_controllers:
            flags["disable-admission-plugins"] = "ServiceAccount"  # nothing would make the accounts that it asks for
        return [*self._binaries.command("kube-apiserver"), *_as_arguments(flags)]

    def _controllers_command(self) -> list[str]:
        flags: dict[str, object] = {
            "kubeconfig": self.kubeconfig,
            "root-ca-file": self.ca,
            "service-account-private-key-file": self.directory / "service-accounts.key",
            "leader-elect": "false",
            "secure-port": 0,
        }
        return [*self._binaries.command("kube-controller-manager"), *_as_arguments(flags)]

    def _wait_for_apiserver(self) -> None:
        process, deadline = self._processes["kube-apiserver"], time.monotonic() + _START_SECONDS
        while not self._ready():
            if not process.running or time.monotonic() > deadline:
                logs = "\n".join(each.tail() for each in self._processes.values())
                raise ProcessFailed(f"the API server did not become ready\n{logs}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            with httpx.Client(verify=ssl.create_default_context(cafile=str(self.ca)), trust_env=False, timeout=5.0) as client:
                return client.get(f"{self.server}/readyz").status_code == 200
        except (OSError, httpx.TransportError):  # the certificate is not written yet, or nobody listens
            return False

    def _wait_for_defaults(self) -> None:
        with self.api() as api:
            wait_for(lambda: api.find("v1/Namespace", "default"), _START_SECONDS, "the namespace default")
            if self._binaries.has_controllers:
                wait_for(lambda: api.find("v1/ServiceAccount", "default", "default"), _START_SECONDS, "the service account default")


def _as_arguments(flags: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _private_key() -> str:
    """A new P-256 key in SEC 1's PEM form; its public half may be left out, and a reader computes it."""
    scalar = (secrets.randbits(255) | 1).to_bytes(32, "big")
    der = bytes.fromhex("30310201010420") + scalar + bytes.fromhex("a00a06082a8648ce3d030107")
    return f"-----BEGIN EC PRIVATE KEY-----\n{base64.encodebytes(der).decode()}-----END EC PRIVATE KEY-----\n"


def main() -> int:
    """Run a control plane until Ctrl-C or SIGTERM."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        print(f"starting Kubernetes {kubernetes_version()} ...", file=sys.stderr, flush=True)
        with ControlPlane() as cluster:
            print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
            print(f"export PATH={shlex.quote(str(cluster.directory / 'bin'))}{os.pathsep}$PATH", flush=True)
            print("Paste these two lines into another shell; Ctrl-C here ends the cluster.", file=sys.stderr, flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except (ToolError, ProcessFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
