import ipaddress

import pytest

from junctor.net.addresses import is_public, private_host


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254",
        "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:127.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "3fff::1", "2001:10::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)
    assert private_host(address)


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_addresses_that_carry_a_private_one(address: str) -> None:
    assert not is_public(address)
    assert private_host(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "168.63.129.17", "172.32.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8", "2002:808:808::1"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    assert is_public(ipaddress.ip_address(address))
    assert private_host(address) == ""


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0X7F000001", "017700000001", "127.1", "127.0.1", "0x7f.1", "0177.0.0.1", "0x7f.0x0.0x0.0x1",
        "127.0.0.1.", "127.0.0.1..", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "0", "0.0", "10.1", "::FFFF:10.0.0.1", "FE80::1",
        "256.256.256.256", "1.2.3.4.5", "0x7f.1.0x", "127.0.0.08", "127.0.0.1%eth0", "1:2", ":", "::1::",
        "127.0.0.1\x00", "99999999999999999999",
    ],
)  # fmt: skip
def test_hosts_that_are_read_as_private_addresses_or_as_none(host: str) -> None:
    assert private_host(host)


@pytest.mark.parametrize("host", ["134744072", "0x08080808", "010.8.8.8", "8.8.2056", "8.8.8.8."])
def test_odd_forms_of_public_addresses_are_what_they_mean(host: str) -> None:
    assert private_host(host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain.local", "mcp", "metadata",
        "metadata.google.internal", "Metadata.Google.Internal.", "weather.team-a.svc", "weather.team-a.svc.cluster.local", "printer.local",
        "nas.lan", "nas.home.arpa", "",
        ".", "...",
    ],
)  # fmt: skip
def test_names_of_local_networks(host: str) -> None:
    assert private_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "\uff4c\uff4f\uff43alhost", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021", "m\u00fcller.com",
        "mcp.acme.\u212aom", "\u0661.\u0661",
    ],
)  # fmt: skip
def test_hosts_outside_ascii_are_not_guessed_at(host: str) -> None:
    assert "ASCII" in private_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "mcp.acme.com",
        "MCP.ACME.COM",
        "xn--mller-kva.com",
        "1password.com",
        "8.8.8.8.example.com",
        "local.com",
        "localhost.com",
        "a_b.c-d.io",
    ],
)
def test_other_names_pass(host: str) -> None:
    assert private_host(host) == ""


@pytest.mark.parametrize("unit", ["1", "1.", "a.", ":", "0x", "::1%", "."])
def test_endless_hosts_are_answered(unit: str) -> None:
    assert isinstance(private_host(unit * (1_000_000 // len(unit))), str)
