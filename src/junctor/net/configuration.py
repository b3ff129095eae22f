"""Configuration files: YAML documents of one pydantic model, read with errors that name the file, the field and what to do."""

from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from junctor.net.addresses import NAT64_LENGTHS
from junctor.net.faults import problems_of
from junctor.net.globs import Globs
from junctor.net.network_policy import Network, NetworkPolicy, NetworkRules

#: The apiVersion of every configuration file.
API_VERSION: Final = "config.junctor.dev/v1alpha1"


class ConfigurationError(Exception):
    """The configuration cannot be used; the message has one line for each fault, which names the field and what to do."""


class ConfigurationModel(BaseModel):
    """A part of a configuration file, in camelCase. An unknown field is an error, because a misspelt one would be ignored silently."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def _network(value: object) -> Network:
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8 or fd00::/8, as text, without bits of a host") from None


def _nat64_prefix(value: object) -> IPv6Network:
    network = _network(value)
    if not isinstance(network, IPv6Network) or network.prefixlen not in NAT64_LENGTHS:
        raise ValueError(f"must be an IPv6 network whose length is one of {', '.join(map(str, NAT64_LENGTHS))} (RFC 6052)")
    return network


_Networks = Annotated[tuple[Annotated[Network, BeforeValidator(_network)], ...], Field(max_length=256)]
_Prefixes = Annotated[tuple[Annotated[IPv6Network, BeforeValidator(_nat64_prefix)], ...], Field(max_length=16)]
_Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=63)], ...], Field(min_length=1, max_length=256)]


class NetworkLists(ConfigurationModel):
    """Which addresses may be connected to.

    allowed: only these; absent: all but loopback, which only a network of loopback addresses allows. denied: of them, not these.
    """

    allowed: _Networks | None = None
    denied: _Networks = ()


class NamespaceNetworks(NetworkLists):
    """The lists that count for some namespaces, instead of those for all. namespaces: names or globs."""

    namespaces: _Names


class NetworkPolicyConfiguration(NetworkLists):
    """`networkPolicy` of a configuration file: its lists, the exceptions of namespaces, of which the first that matches counts, and the
    network's own prefixes of NAT64.
    """

    namespaces: Annotated[tuple[NamespaceNetworks, ...], Field(max_length=256)] = ()
    nat64_prefixes: _Prefixes = ()

    def policy(self) -> NetworkPolicy:
        """The policy that connections follow."""

        def rules(lists: NetworkLists) -> NetworkRules:
            return NetworkRules(lists.allowed, lists.denied, nat64=self.nat64_prefixes)

        return NetworkPolicy(rules(self), tuple((Globs(item.namespaces), rules(item)) for item in self.namespaces))


Model = TypeVar("Model", bound=BaseModel)


def read_configuration(path: Path, model: type[Model], kind: str) -> Model:
    """Read a file; see `parse_configuration`. Raises ConfigurationError also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    return parse_configuration(text, str(path), model, kind)


def parse_configuration(text: str, source: str, model: type[Model], kind: str) -> Model:
    """Parse the text of a configuration file.

    Args:
        text: YAML.
        source: what messages call the file.
        model: what the file must be.
        kind: its `kind`, for messages.

    Raises:
        ConfigurationError: the text is not YAML or not of the model.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{source}: not YAML{place}: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{source}: expected {'an' if kind[0] in 'AEIO' else 'a'} {kind}, apiVersion {API_VERSION}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigurationError("\n".join(f"{source}: {line.removeprefix('.')}" for line in problems_of(error, ""))) from error
