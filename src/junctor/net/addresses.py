"""Addresses that a server found in a registry must not have: whoever publishes there could point Junctor at its own surroundings.

Source: MCP Security Best Practices 2026-07-28, Server-Side Request Forgery. The rule for names is only a first sieve, because names
resolve to anything: the gateway checks the addresses behind them when it connects, and connects to no other.
"""

import ipaddress
import socket
from typing import Final

_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".svc", ".cluster.local")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: Not of the public Internet either, whatever this version of Python thinks: IETF protocol assignments, where clouds serve metadata; the
#: address with which Azure serves its virtual machines; the old IPv6 site-local and the new documentation addresses.
_SPECIAL: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "168.63.129.16/32", "fec0::/10", "3fff::/20")))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str | Address) -> bool:
    """Whether an IP address is one of the public Internet. Addresses that carry an IPv4 address are judged by that one as well."""
    parsed = ipaddress.ip_address(address.split("%")[0]) if isinstance(address, str) else address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed in _NAT64:
        return is_public(_low(parsed))  # how clusters without IPv4 reach it
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved or any(parsed in network for network in _SPECIAL):
        return False
    return all(map(is_public, _carried(parsed)))


def private_host(host: str) -> str:
    """Why a URL's host cannot be a server of the public Internet, or "". A name that passes may still resolve to anything.

    host: as urllib.parse gives it: IPv6 addresses without brackets.
    """
    if not host.isascii():
        return "its host is not written in ASCII, so that clients may read it as another one"
    name = host.rstrip(".").lower()
    # A number at the end makes an address of a host (URL Standard, section 3.5); no top-level domain begins with a digit.
    if ":" in name or name.rpartition(".")[2][:1].isdigit():
        literal = _literal(name)
        return "" if literal is not None and is_public(literal) else "its address is not one of the public Internet"
    if "." not in name or name.endswith(_LOCAL_SUFFIXES):
        return "its host is a name of a local network"
    return ""


def _literal(host: str) -> Address | None:
    """The address that a host is. The C library reads 2130706433, 0x7f.1 and 0177.0.0.1 as addresses too, so this does."""
    try:
        return ipaddress.IPv6Address(host.split("%")[0]) if ":" in host else ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _carried(address: Address) -> list[ipaddress.IPv4Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [carried for carried in found if carried is not None]


def _low(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
