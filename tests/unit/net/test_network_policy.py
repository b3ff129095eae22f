"""Which addresses may be connected to: what is never allowed, in every form in which an address can be written, and the lists."""

import pytest

from junctor.net.configuration import ConfigurationError, NetworkPolicyConfiguration, parse_configuration
from junctor.net.network_policy import CLUSTER_POLICY, NOT_PUBLIC, OWN_MACHINE_POLICY, NetworkPolicy, never_allowed

LINK_LOCAL = ["169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1"]
METADATA = [
    "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "100.100.100.200", "192.0.0.192",
    "168.63.129.16",
]  # fmt: skip
EMBEDDED = [
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254",
    "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:fffe::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:5601:5601", "::ffff:6464:64c8",
    "64:ff9b::c000:c0", "2002:a83f:8110::",
]  # fmt: skip
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "::", "0.1.2.3", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "::ffff:0.0.0.0"]
OTHERS = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "fd00::1", "100.64.0.1", "8.8.8.8", "2606:4700::1111", "::ffff:10.0.0.1", "192.0.0.191"]


def policy(**fields: object) -> NetworkPolicy:
    return NetworkPolicyConfiguration.model_validate(fields).policy()


@pytest.mark.parametrize("address", [*LINK_LOCAL, *METADATA, *EMBEDDED])
@pytest.mark.parametrize(
    "network",
    [
        CLUSTER_POLICY,
        OWN_MACHINE_POLICY,
        policy(allowed=["0.0.0.0/0", "::/0", "169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "127.0.0.0/8"]),
    ],
    ids=["cluster", "own machine", "allowed by name"],
)
def test_link_local_and_metadata_addresses_are_never_allowed(network: NetworkPolicy, address: str) -> None:
    assert network.rules("team").refusal(address).endswith("which is never allowed")
    assert network.rules("team", public_only=True).refusal(address).endswith("which is never allowed")
    assert never_allowed(address)


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_for_whom_it_is_named(address: str) -> None:
    refused = "is loopback, which networkPolicy does not allow"
    assert CLUSTER_POLICY.rules("team").refusal(address) == refused
    assert policy(allowed=["0.0.0.0/0", "::/0"]).rules("team").refusal(address) == refused
    assert OWN_MACHINE_POLICY.rules("team").refusal(address) == ""
    assert policy(allowed=["127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128"]).rules("team").refusal(address) == ""


@pytest.mark.parametrize("address", OTHERS)
def test_other_addresses_are_allowed_by_default(address: str) -> None:
    assert CLUSTER_POLICY.rules("team").refusal(address) == ""
    assert never_allowed(address) == ""


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("10.1.2.3", ""),
        ("10.9.0.1", "is denied by networkPolicy"),
        ("::ffff:10.9.0.1", "is denied by networkPolicy"),
        ("64:ff9b::10.9.0.1", "is denied by networkPolicy"),
        ("2002:a09:1::1", "is denied by networkPolicy"),
        ("64:ff9b::10.1.2.3", ""),
        ("192.168.1.1", "is not allowed by networkPolicy"),
        ("8.8.8.8", "is not allowed by networkPolicy"),
        ("fd00::1", "is not allowed by networkPolicy"),
    ],
)
def test_denied_wins_over_allowed(address: str, refusal: str) -> None:
    assert policy(allowed=["10.0.0.0/8", "2002::/16"], denied=["10.9.0.0/16"]).rules("team").refusal(address) == refusal


def test_the_first_item_that_names_a_namespace_counts_alone() -> None:
    found = policy(
        denied=["10.0.0.0/8"],
        namespaces=[
            {"namespaces": ["platform"], "allowed": ["10.0.0.0/8"]},
            {"namespaces": ["team-*", "platform"], "denied": ["0.0.0.0/0", "::/0"]},
        ],
    )
    assert [bool(found.rules(name).refusal("10.1.1.1")) for name in ("platform", "team-a", "other", "")] == [False, True, True, True]
    assert [bool(found.rules(name).refusal("8.8.8.8")) for name in ("platform", "team-a", "other", "")] == [True, True, False, False]


def test_public_only_refuses_what_the_lists_allow() -> None:
    rules = policy(allowed=["10.0.0.0/8", "8.8.8.8/32"]).rules("team", public_only=True)
    assert [rules.refusal(address) for address in ("10.0.0.1", "8.8.8.8", "127.0.0.1")] == [NOT_PUBLIC, "", NOT_PUBLIC]
    assert rules.refusal("9.9.9.9") == "is not allowed by networkPolicy"


#: RFC 6052, section 2.4: 192.0.2.33 behind prefixes of every length; here with a link-local address.
@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8::/32", "2001:db8:a9fe:a9fe::"),
        ("2001:db8:100::/40", "2001:db8:1a9:fea9:fe::"),
        ("2001:db8:122::/48", "2001:db8:122:a9fe:a9:fe00::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3a9:fe:a9fe::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:a9:fea9:fe00:0"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::a9fe:a9fe"),
    ],
)
def test_own_nat64_prefixes_stand_for_the_addresses_in_them(prefix: str, address: str) -> None:
    assert CLUSTER_POLICY.rules("team").refusal(address) == ""
    assert policy(nat64Prefixes=[prefix]).rules("team").refusal(address) == "is link-local, which is never allowed"


def test_public_addresses_behind_an_own_nat64_prefix_are_public() -> None:
    rules = policy(nat64Prefixes=["fd64::/96"]).rules("team", public_only=True)
    assert [rules.refusal(address) for address in ("fd64::808:808", "fd64::a00:1")] == ["", NOT_PUBLIC]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allowed: [10.0.0.1/8]", "allowed[0]: value error, must be a network such as 10.0.0.0/8"),
        ("denied: [internal]", "denied[0]: value error, must be a network"),
        ("nat64Prefixes: [64:ff9b::/95]", "nat64Prefixes[0]: value error, must be an IPv6 network whose length is one of 32, 40"),
        ("namespaces: [{allowed: []}]", "namespaces[0].namespaces: is required"),
        ("alowed: []", "alowed"),
    ],
)
def test_mistakes_in_a_file_name_the_field(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text, "file", NetworkPolicyConfiguration, "NetworkPolicy")
    assert message in str(caught.value)
