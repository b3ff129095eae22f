"""Which addresses may be connected to on behalf of a namespace, whatever name or URL led there.

Whoever may create connectors and registries uses the place in the network of the gateway and the operator. Link-local addresses and those
of clouds' metadata services, which give credentials of the node, are never allowed; loopback, which is the pod itself, only where the
installation says so; everything else follows the lists of the installation.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from junctor.net.addresses import Address, carried_addresses, is_public, parse_address, translated_address
from junctor.net.globs import Globs

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The reason for an address that only `public_only` refuses.
NOT_PUBLIC: Final = "is not public"
#: RFC 3927 and RFC 4291. AWS, Azure, Google Cloud, Oracle, DigitalOcean, Hetzner and OpenStack serve metadata at 169.254.169.254, AWS
#: credentials of tasks and pods at 169.254.170.2 and .23, OpenStack metadata at fe80::a9fe:a9fe.
_LINK_LOCAL: Final = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))
#: Metadata services with addresses that are not link-local, from each provider's documentation.
_METADATA: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "fd00:ec2::/32",  # Amazon EC2: metadata ::254, credentials of EKS pods ::23
            "fd20:ce::254/128",  # Google Cloud
            "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud
            "fd00:42::42/128",  # Scaleway
            "100.100.100.200/32",  # Alibaba Cloud
            "192.0.0.192/32",  # Oracle Cloud Classic
            "168.63.129.16/32",  # Azure: WireServer, which hands out the machine's configuration
        ),
    )
)
#: The machine itself; an unspecified address is connected to there too.
_LOOPBACK: Final = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128")))


def never_allowed(address: str | Address) -> str:
    """Why no policy allows an address, as the end of a sentence about it; "" if one may."""
    parsed = parse_address(address) if isinstance(address, str) else address
    parsed = translated_address(parsed) or parsed
    for each in (parsed, *carried_addresses(parsed)):
        if _is_in(each, _LINK_LOCAL):
            return "is link-local, which is never allowed"
        if _is_in(each, _METADATA):
            return "belongs to a cloud's metadata service, which is never allowed"
    return ""


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What holds for one namespace.

    allowed: the only networks that may be reached; None: all. denied: those among them that may not be reached. loopback: whether the
    machine itself may be reached; a network of `allowed` that consists of loopback addresses allows those too. public_only: whether
    nothing but the public Internet may be reached. nat64: the network's own prefixes of NAT64.
    """

    allowed: tuple[Network, ...] | None = None
    denied: tuple[Network, ...] = ()
    loopback: bool = False
    public_only: bool = False
    nat64: tuple[ipaddress.IPv6Network, ...] = ()

    def refusal(self, address: str) -> str:
        """Why an address must not be connected to, as the end of a sentence about it; "" if it may."""
        parsed = parse_address(address)
        judged: Address = translated_address(parsed, self.nat64) or parsed
        if isinstance(judged, ipaddress.IPv6Address) and judged.ipv4_mapped is not None:
            judged = judged.ipv4_mapped
        if reason := never_allowed(judged):
            return reason
        if self.public_only and not is_public(judged):
            return NOT_PUBLIC
        return next(filter(None, map(self._refusal, (judged, *carried_addresses(judged)))), "")

    @property
    def allows_loopback(self) -> bool:
        """Whether some address of the machine itself may be reached."""
        return self.loopback or any(_is_loopback(network) for network in self.allowed or ())

    def _refusal(self, address: Address) -> str:
        if _is_in(address, self.denied):
            return "is denied by networkPolicy"
        if _is_in(address, _LOOPBACK):
            named = [network for network in self.allowed or () if _is_loopback(network)]
            return "" if self.loopback or _is_in(address, named) else "is loopback, which networkPolicy does not allow"
        return "" if self.allowed is None or _is_in(address, self.allowed) else "is not allowed by networkPolicy"


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The rules of an installation. default: for every namespace that no item of `scoped` names; the first one that does counts alone."""

    default: NetworkRules = NetworkRules()
    scoped: tuple[tuple[Globs, NetworkRules], ...] = field(default=(), compare=False)

    def rules(self, namespace: str, *, public_only: bool = False) -> NetworkRules:
        """The rules for a namespace. public_only: whether nothing but the public Internet may be reached besides."""
        found = next((rules for namespaces, rules in self.scoped if namespaces.matches(namespace)), self.default)
        return replace(found, public_only=True) if public_only else found

    def with_loopback(self) -> Self:
        """The same policy, which lets every namespace reach the machine itself."""
        scoped = tuple((namespaces, replace(rules, loopback=True)) for namespaces, rules in self.scoped)
        return replace(self, default=replace(self.default, loopback=True), scoped=scoped)


#: Of a process that serves strangers, such as the pods of a cluster: connectors do not reach the pod itself.
CLUSTER_POLICY: Final = NetworkPolicy()
#: Of a process on somebody's own machine, who runs servers there too.
OWN_MACHINE_POLICY: Final = CLUSTER_POLICY.with_loopback()


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _is_loopback(network: Network) -> bool:
    return _is_in(network.network_address, _LOOPBACK) and _is_in(network.broadcast_address, _LOOPBACK)
