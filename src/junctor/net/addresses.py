"""Addresses that a server found in a registry must not have: whoever publishes there could point Junctor at its own surroundings.

Source: MCP Security Best Practices 2026-07-28, Server-Side Request Forgery. The rule for names is only a first sieve, because names
resolve to anything: the gateway checks the addresses behind them when it connects, and connects to no other.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".svc", ".cluster.local")
#: The prefix that everybody uses for NAT64 (RFC 6052), and the one for a network's own use (RFC 8215).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
#: Older ways to write an IPv4 address as an IPv6 address: IPv4-compatible (RFC 4291) and IPv4-translated (RFC 2765).
_LOW_IPV4: Final = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"), _LOCAL_NAT64)
#: Lengths of a NAT64 prefix (RFC 6052, section 2.2).
NAT64_LENGTHS: Final = (32, 40, 48, 56, 64, 96)
#: Not of the public Internet either, whatever this version of Python thinks: IETF protocol assignments, where clouds serve metadata; the
#: address with which Azure serves its virtual machines; the old IPv6 site-local and the new documentation addresses.
_SPECIAL: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "168.63.129.16/32", "fec0::/10", "3fff::/20")))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(address: str) -> Address:
    """Parse an IP address as resolvers give it, with or without a zone. Raises ValueError."""
    return ipaddress.ip_address(address.split("%")[0])


def is_public(address: str | Address, nat64: Sequence[ipaddress.IPv6Network] = ()) -> bool:
    """Whether an IP address is one of the public Internet. Addresses that carry an IPv4 address are judged by that one as well.

    nat64: the network's own prefixes of NAT64, whose addresses stand for the IPv4 addresses in them.
    """
    parsed = parse_address(address) if isinstance(address, str) else address
    if (translated := translated_address(parsed, nat64)) is not None:
        return is_public(translated)
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved or any(parsed in network for network in _SPECIAL):
        return False
    return all(map(is_public, carried_addresses(parsed)))


def translated_address(address: Address, nat64: Sequence[ipaddress.IPv6Network] = ()) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a NAT64 gateway connects to for an IPv6 address; None for all other addresses."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    for prefix in (*nat64, _NAT64):
        if address in prefix:
            # RFC 6052: the four octets follow the prefix; octet 8 is left out.
            octets = address.packed[:8] + address.packed[9:]
            start = prefix.prefixlen // 8 - (prefix.prefixlen > 64)
            return ipaddress.IPv4Address(octets[start : start + 4])
    return None


def carried_addresses(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address may lead to by being mapped (RFC 4291), 6to4, Teredo or an older form."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _LOW_IPV4):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [carried for carried in found if carried is not None]


def private_host(host: str) -> str:
    """Why a URL's host cannot be a server of the public Internet, or "". A name that passes may still resolve to anything.

    host: as urllib.parse gives it: IPv6 addresses without brackets.
    """
    if not host.isascii():
        return "its host is not written in ASCII, so that clients may read it as another one"
    name = host.rstrip(".").lower()
    # A number at the end makes an address of a host (URL Standard, section 3.5); no top-level domain begins with a digit.
    if ":" in name or name.rpartition(".")[2][:1].isdigit():
        literal = literal_address(name)
        return "" if literal is not None and is_public(literal) else "its address is not one of the public Internet"
    if "." not in name or name.endswith(_LOCAL_SUFFIXES):
        return "its host is a name of a local network"
    return ""


def literal_address(host: str) -> Address | None:
    """The address that a host is, None for a name. The C library reads 2130706433, 0x7f.1 and 0177.0.0.1 as addresses too, so this does."""
    try:
        return ipaddress.IPv6Address(host.split("%")[0]) if ":" in host else ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
