"""The registry that a command reads, and the rules that it applies: a URL with options, or a manifest of an MCPRegistry."""

import functools
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import click

from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import API_VERSION, REGISTRY_KIND
from junctor.api.registry import MCPRegistrySpec, effective_registry_id
from junctor.api.resources import RegistryResource
from junctor.net.formats import KubernetesObjectView
from junctor.net.headers import is_ascii_header_value
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.offline.collect import collect
from junctor.offline.plan import default_configuration, snapshot_of
from junctor.registry.client import RegistryClient
from junctor.registry.connection import HTTPRegistries
from junctor.registry.preview.credentials import looks_secret
from junctor.registry.reader import request_headers
from junctor.registry.rules import MappingRules

#: Fewer than the operator's, because a person waits.
_RETRIES: Final = 3
#: The id of a registry that is in no manifest yet.
_UNNAMED: Final = "registry"


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every command with a registry has."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    bearer_file: Path | None
    ca_file: Path | None
    manifest: Path | None


@dataclass(frozen=True, slots=True)
class Source:
    """A registry to read. named: whether a manifest gives it an id."""

    spec: MCPRegistrySpec = field(repr=False)
    rules: MappingRules
    named: bool
    _secret: Callable[[SecretKeyRef], str] = field(repr=False)

    @classmethod
    def of(cls, url: str | None, options: Options, filters: KubernetesObjectView | None = None) -> Self:
        """Build the source that the options describe. filters: fields of spec.filter that replace those of the manifest.

        Raises UsageError, and ClickException for a file that cannot be used.
        """
        if url is None and options.manifest is None:
            raise click.UsageError("name a registry: its URL, or --manifest with a file that holds an MCPRegistry")
        body, secret = _manifest(options.manifest) if options.manifest else (_bare(), _no_secret)
        resource = RegistryResource.of(_changed(body, url, options, filters or {}))
        if resource.spec is None or resource.unsupported:
            raise click.UsageError("; ".join((*resource.problems, *(f"{path} is not known" for path in resource.unsupported))))
        registry_id = effective_registry_id(resource.raw_spec, resource.name)
        rules = MappingRules.of(resource.spec, registry_id, resource.namespace)
        return cls(resource.spec, rules, options.manifest is not None, secret)

    def open(self, options: Options) -> RegistryClient:
        """Open the registry. Headers of the options replace those of the manifest. Raises UsageError and ClickException."""
        given = _given_headers(options)
        names = {name.lower() for name in given}
        kept = tuple(header for header in self.spec.headers or () if header.name.lower() not in names)
        spec = self.spec.model_copy(update={"headers": kept, "auth": None if "authorization" in names else self.spec.auth})
        try:
            return HTTPRegistries(OWN_MACHINE_POLICY, _RETRIES).open(spec, {**request_headers(spec, self._secret), **given}, "")
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--header, --bearer-file, --ca-file and --manifest, as one argument `options`."""

    @functools.wraps(command)
    def gathered(
        *,
        headers: tuple[tuple[str, str], ...],
        bearer_file: Path | None,
        ca_file: Path | None,
        manifest: Path | None,
        **others: Any,
    ) -> Any:
        return command(options=Options(headers, bearer_file, ca_file, manifest), **others)

    decorated: Callable[..., Any] = gathered
    for decorator in reversed(_SOURCE_OPTIONS):
        decorated = decorator(decorated)
    return decorated


def _split_headers(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        name, separator, text = value.partition("=")
        if not separator or not re.fullmatch(r"[\w.-]+", name, re.ASCII) or not is_ascii_header_value(text):
            # Without what was written: it may be a secret.
            raise click.BadParameter("write NAME=VALUE or NAME=@FILE, in printable ASCII and without spaces in the name")
        pairs.append((name, text))
    return tuple(pairs)


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_SOURCE_OPTIONS: Final = (
    click.option(
        "--manifest",
        type=_FILE,
        help="A file with an MCPRegistry: its URL, filter, credentials and allow* fields decide, and the Secrets beside it are used.",
    ),
    click.option(
        "--bearer-file",
        type=_FILE,
        envvar="JUNCTOR_REGISTRY_BEARER_FILE",
        show_envvar=True,
        help="File with the bearer token for the registry.",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_split_headers,
        help="HTTP header for the registry; may be given several times. NAME=@FILE reads the value from a file, as secrets should be.",
    ),
    click.option("--ca-file", type=_FILE, help="Certificates (PEM) of the authorities to trust, instead of the system's."),
)


def _given_headers(options: Options) -> dict[str, str]:
    headers = {}
    for name, text in options.headers:
        if text.startswith("@"):
            text = _read_secret(Path(text[1:]))
        elif looks_secret(name):
            warning = f"warning: others on this machine can see the value of --header {name}; write {name}=@FILE"
            click.echo(warning + (" or use --bearer-file" if name.lower() == "authorization" else ""), err=True)
        headers[name] = text
    if options.bearer_file is not None:
        headers["Authorization"] = f"Bearer {_read_secret(options.bearer_file)}"
    return headers


def _read_secret(path: Path) -> str:
    try:
        text = path.read_bytes().rstrip(b"\r\n").decode("ascii")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise click.ClickException(f"{path} holds something else than ASCII text, which no header can carry") from None
    if not text or not text.isprintable():
        raise click.ClickException(f"{path} {'is empty' if not text else 'holds more than one line, or control characters'}")
    return text


def _bare() -> KubernetesObjectView:
    metadata = {"name": _UNNAMED, "namespace": "default", "uid": _UNNAMED}
    return {"apiVersion": API_VERSION, "kind": REGISTRY_KIND, "metadata": metadata, "spec": {}}


def _no_secret(ref: SecretKeyRef) -> str:
    raise AssertionError("without a manifest nothing names a Secret")


def _manifest(path: Path) -> tuple[KubernetesObjectView, Callable[[SecretKeyRef], str]]:
    """The only MCPRegistry of a file, and the Secrets beside it."""
    collected = collect([str(path)], sys.stdin.buffer)
    for problem in collected.problems:
        raise click.ClickException(str(problem))
    found = [item.body for item in collected.of_kind(REGISTRY_KIND)]
    if len(found) != 1:
        raise click.ClickException(f"{path} holds {len(found) or 'no'} {REGISTRY_KIND} resources; name a file with one")
    body = found[0]
    namespace, secrets = body["metadata"]["namespace"], snapshot_of(collected, default_configuration())

    def secret(ref: SecretKeyRef) -> str:
        value = secrets.secret_value(namespace, ref, str((body.get("spec") or {}).get("url", "")))
        if value is None:
            message = f"key {ref.key!r} of Secret {namespace}/{ref.name} is not in {path}, or cannot be sent"
            raise click.ClickException(f"{message}; add it there with the label junctor.dev/credentials, or give --bearer-file or --header")
        return value.decode("ascii")

    return body, secret


def _changed(body: KubernetesObjectView, url: str | None, options: Options, filters: KubernetesObjectView) -> KubernetesObjectView:
    spec = dict(body["spec"])
    if url is not None:
        spec["url"] = url
    if filters:
        spec["filter"] = {**(spec.get("filter") or {}), **filters}
    if options.ca_file is not None:
        try:
            spec["tls"] = {"caBundle": options.ca_file.read_text("ascii")}
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{options.ca_file} cannot be read as PEM certificates") from error
    return {**body, "spec": spec}
