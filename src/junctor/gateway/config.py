"""The configuration file of a gateway, `junctor gateway --config`, as data."""

from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlunsplit

from pydantic import Field, ValidationError, field_validator

from junctor.net import configuration
from junctor.net.configuration import ConfigurationError, ConfigurationModel, NetworkPolicyConfiguration
from junctor.net.faults import problems_of
from junctor.net.headers import CONNECTION_HEADERS, is_ascii_header_value, is_header_name
from junctor.net.urls import NotABase, NotHTTP, split_base_url

#: Headers that the gateway sets by itself, in lower case.
RESERVED_HEADERS: Final = CONNECTION_HEADERS | {"accept-encoding", "cookie"}
_MAX_VALUE: Final = 4096


def base_url(url: str) -> str:
    """Return the URL that paths such as /chat/completions are added to.

    A URL without a path means its /v1. Raises ValueError with a message for whoever wrote the URL.
    """
    try:
        parts = split_base_url(url)
    except NotHTTP:
        raise ValueError("must be an address such as http://vllm:8000 or https://models.example.com/v1") from None
    except NotABase:
        raise ValueError("must not hold credentials, a query or a fragment; a key belongs into keyFile") from None
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") or "/v1", "", ""))


class UpstreamConfiguration(ConfigurationModel):
    """One model server.

    models: globs; the first upstream of the file with a matching one generates. url: of the server, or of its API when it has a path.
    key_file: holds the gateway's API key for it; a relative path starts at the configuration file.
    """

    models: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(min_length=1, max_length=256)]
    url: Annotated[str, Field(max_length=2048)]
    api: Literal["chat_completions"] = "chat_completions"
    key_file: Path | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)

    @field_validator("url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        return base_url(value)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not is_header_name(name):
                raise ValueError(f"{name[:128]!r} is no header name")
            if name.lower() == "authorization":
                raise ValueError("Authorization comes from keyFile; put the key there")
            if name.lower() in RESERVED_HEADERS:
                raise ValueError(f"{name} is set by the gateway; remove it")
            if not is_ascii_header_value(text) or not 1 <= len(text) <= _MAX_VALUE or text != text.strip():
                raise ValueError(f"the value of {name} must be 1 to 4096 printable ASCII characters without spaces around")
        if len({name.lower() for name in value}) < len(value):
            raise ValueError("a header is given twice; case does not count")
        return value


class GatewayFile(ConfigurationModel):
    """The gateway's configuration file, of the kind GatewayConfiguration."""

    api_version: Literal["config.junctor.dev/v1alpha1"]
    kind: Literal["GatewayConfiguration"]
    upstreams: Annotated[tuple[UpstreamConfiguration, ...], Field(max_length=64)] = ()
    network_policy: NetworkPolicyConfiguration = NetworkPolicyConfiguration()


def read_configuration(path: Path) -> GatewayFile:
    """Read a configuration file; relative key files are resolved against its directory. Raises ConfigurationError."""
    return _with_key_files(configuration.read_configuration(path, GatewayFile, "GatewayConfiguration"), path.parent)


def parse_configuration(text: str, source: str, *, directory: Path = Path()) -> GatewayFile:
    """Parse a configuration file's text. directory: where relative key files are. Raises ConfigurationError."""
    return _with_key_files(configuration.parse_configuration(text, source, GatewayFile, "GatewayConfiguration"), directory)


def _with_key_files(parsed: GatewayFile, directory: Path) -> GatewayFile:
    return parsed.model_copy(update={"upstreams": tuple(_resolved(upstream, directory) for upstream in parsed.upstreams)})


def only_upstream(url: str) -> UpstreamConfiguration:
    """What `--upstream URL` means: this one for every model. Raises ConfigurationError."""
    try:
        return UpstreamConfiguration(models=("*",), url=url)
    except ValidationError as error:
        raise ConfigurationError("\n".join(f"--upstream: {line.partition(': ')[2]}" for line in problems_of(error, ""))) from error


def _resolved(upstream: UpstreamConfiguration, directory: Path) -> UpstreamConfiguration:
    return upstream.model_copy(update={"key_file": directory / upstream.key_file}) if upstream.key_file else upstream
