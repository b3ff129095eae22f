"""Manifests and the planner without a cluster: what `junctor validate` and `junctor render` have in common."""

import stat
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from junctor.api.configuration import GatewaySpec, OperatorConfiguration, parse_configuration
from junctor.api.names import CONNECTOR_KIND, REGISTRY_KIND
from junctor.api.resources import ConnectorResource, RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.net.configuration import ConfigurationError
from junctor.offline.manifests import parse_manifests
from junctor.planning.inputs import Inputs, Published, SecretVersions
from junctor.planning.plan import GatewayPlan, Planner
from junctor.reconcile.snapshot import Snapshot

STDIN: Final = "-"
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_UIDS: Final = uuid.UUID("0d6f1f7e-3f55-4f0a-9f3c-6b1c2f6f8a10")
#: Objects that bring no creationTimestamp are younger than those that do, in the order in which they were read.
_YOUNG: Final = "9999-01-01T00:00:00.{:06d}Z"
#: Credential versions need a key. Offline it protects nothing: who sees the version sees the value as well.
OFFLINE_KEY: Final = b"junctor render"

paths_argument = click.argument("paths", metavar="FILE|DIR|-...", nargs=-1, required=True)
config_option = click.option(
    "--config",
    "config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The operator's configuration (OperatorConfiguration): gateways, selectors, idPolicies. Absent: one gateway that selects all.",
)


class Name(NamedTuple):
    """What identifies an object."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the input, and what to do. severity: error or warning. line and column count from 1."""

    file: str
    message: str
    line: int | None = None
    column: int | None = None
    severity: str = "error"

    def __str__(self) -> str:
        place = "".join(f":{number}" for number in (self.line, self.column) if number is not None)
        return f"{self.file}{place}: {'warning: ' if self.severity == 'warning' else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Located:
    """An object of the input as the API server would store it, and where it stands."""

    body: Mapping[str, Any]
    file: str
    line: int


@dataclass(slots=True)
class Collected:
    """Everything that was read. files: how many."""

    objects: dict[Name, Located] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0

    def of_kind(self, kind: str) -> Iterator[Located]:
        """The objects of a kind, in the order of the input."""
        return (located for name, located in self.objects.items() if name.kind == kind)


def collect(paths: Sequence[str]) -> Collected:
    """Read and check files, directories (recursively) and standard input. Raises UsageError for a path that is not there."""
    collected = Collected()
    for file in _files(paths):
        collected.files += 1
        source = "<stdin>" if file == STDIN else file
        try:
            content = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            collected.problems.append(Problem(source, f"cannot be read: {why}"))
            continue
        manifests, problems = parse_manifests(text, source)
        collected.problems += [Problem(source, problem.message, problem.line, problem.column) for problem in problems]
        for manifest in manifests:
            _add(collected, Located(manifest.body, source, manifest.line))
    return collected


def _add(collected: Collected, located: Located) -> None:
    metadata = located.body["metadata"]
    kind = located.body["kind"]
    namespace = metadata.get("namespace", "") if kind != "Namespace" else ""
    name = Name(kind, namespace, metadata["name"])
    first = collected.objects.get(name)
    if first is not None:
        message = f"{name} is defined in {first.file}:{first.line} already; remove one of them"
        collected.problems.append(Problem(located.file, message, located.line))
        return
    identity = {
        "namespace": namespace,
        "uid": str(metadata.get("uid") or uuid.uuid5(_UIDS, str(name))),
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": str(metadata.get("creationTimestamp") or _YOUNG.format(len(collected.objects))),
    }
    collected.objects[name] = Located({**located.body, "metadata": {**metadata, **identity}}, located.file, located.line)


def _files(paths: Sequence[str]) -> Iterator[str]:
    for name in paths:
        path = Path(name)
        if name == STDIN:
            yield name
        elif path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and not _hidden(file.relative_to(path)))
            regular = [str(file) for file in found if file.exists() and stat.S_ISREG(file.stat().st_mode)]
            if not regular:
                raise click.UsageError(f"{name} holds no .yaml, .yml or .json file")
            yield from regular
        elif path.exists():
            yield name
        else:
            raise click.UsageError(f"{name} does not exist")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def configuration_of(config: Path | None, namespace: str = "junctor", map_name: str = "junctor-connectors") -> OperatorConfiguration:
    """The file's configuration, or one gateway that selects everything. Raises UsageError."""
    if config is None:
        gateway = {"namespace": namespace, "map": map_name}
        return OperatorConfiguration.model_validate(
            {"apiVersion": "config.junctor.dev/v1alpha1", "kind": "OperatorConfiguration", "gateways": [gateway]}
        )
    try:
        return parse_configuration(config.read_text(encoding="utf-8"), str(config))
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{config}: is not UTF-8 text") from error
    except (ConfigurationError, OSError) as error:
        raise click.UsageError(str(error)) from error


def resources_of(collected: Collected) -> dict[str, Resource]:
    """The connectors and registries by uid."""
    connectors = map(ConnectorResource.of, (item.body for item in collected.of_kind(CONNECTOR_KIND)))
    registries = map(RegistryResource.of, (item.body for item in collected.of_kind(REGISTRY_KIND)))
    resources: tuple[Resource, ...] = (*connectors, *registries)
    return {resource.uid: resource for resource in resources}


def snapshot_of(collected: Collected, configuration: OperatorConfiguration) -> Snapshot:
    """The Secrets of the input, as the operator would read them."""
    snapshot = Snapshot(configuration, OFFLINE_KEY)
    for item in collected.of_kind("Secret"):
        snapshot.secrets.observe(item.body)
    return snapshot


def plan_of(
    gateway: GatewaySpec,
    collected: Collected,
    resources: Mapping[str, Resource],
    secrets: SecretVersions,
    syncs: Mapping[str, SyncReport] | None = None,
) -> GatewayPlan:
    """The plan of one gateway, as at the first start of an operator. syncs: what registries hold, by the uid of their resource."""
    inputs = Inputs(
        connectors={uid: resource for uid, resource in resources.items() if isinstance(resource, ConnectorResource)},
        registries={uid: resource for uid, resource in resources.items() if isinstance(resource, RegistryResource)},
        syncs=syncs or {},
        namespaces={item.body["metadata"]["name"]: item.body["metadata"].get("labels") or {} for item in collected.of_kind("Namespace")},
        secrets=secrets,
    )
    return Planner(gateway).plan(inputs, Published(), 0.0)


def findings(
    configuration: OperatorConfiguration,
    collected: Collected,
    resources: Mapping[str, Resource],
    plans: Mapping[str, GatewayPlan],
    *,
    strict_references: bool,
) -> Iterable[Problem]:
    """What the plans say against the resources. strict_references: a Secret that is not in the input is an error, not a warning."""
    for uid, resource in resources.items():
        name = Name(resource.kind, resource.namespace, resource.name)
        where = collected.objects[name]
        verdicts = [(gateway, plan.verdicts[uid]) for gateway, plan in plans.items() if uid in plan.verdicts]
        if not verdicts:
            known = Name("Namespace", "", resource.namespace) in collected.objects
            unsure = configuration.needs_namespaces and not known
            hint = f"; the labels of namespace {resource.namespace} are not in the input" if unsure else ""
            message = f"{name}: NoMatchingGateway: no gateway's selectors match it{hint}"
            yield Problem(where.file, message, where.line, severity="warning" if unsure else "error")
        said: set[str] = set()
        for gateway, verdict in verdicts:
            prefix = f"gateway {gateway}: " if len(plans) > 1 else ""
            for finding in (verdict.accepted, verdict.resolved):
                message = f"{name}: {prefix}{finding.reason}: {finding.message}"
                if finding.ok or finding.message in said:
                    continue
                said.add(finding.message)
                elsewhere = finding is verdict.resolved and not _refers_into(collected, resource) and not strict_references
                yield Problem(where.file, message, where.line, severity="warning" if elsewhere else "error")


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems as a reader meets them in the files."""
    return sorted(problems, key=lambda problem: (problem.file, problem.line or 0, problem.column or 0))


def _refers_into(collected: Collected, resource: Resource) -> bool:
    """Whether every Secret that the resource names is in the input, so that what is wrong with it is wrong here."""
    return all(Name("Secret", resource.namespace, ref.name) in collected.objects for ref in resource.secret_refs())
