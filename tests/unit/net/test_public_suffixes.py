import pytest

from junctor.net.public_suffixes import covered_suffix


@pytest.mark.parametrize(
    ("glob", "suffix"),
    [
        ("*.github.io", "github.io"),
        ("*.GitHub.IO", "github.io"),
        ("*.co.uk", "co.uk"),
        ("*.vercel.app", "vercel.app"),
        ("*.run.app", "run.app"),
        ("*.workers.dev", "workers.dev"),
        ("mcp-*.vercel.app", "vercel.app"),
        ("*mcp.vercel.app", "vercel.app"),
        ("mcp?.vercel.app", "vercel.app"),
        ("*.x.*.github.io", "github.io"),
        ("*.eu-west-1.compute.amazonaws.com", "eu-west-1.compute.amazonaws.com"),
    ],
)
def test_patterns_that_cover_hosts_of_strangers(glob: str, suffix: str) -> None:
    assert covered_suffix(glob) == suffix


def test_a_name_above_public_suffixes_covers_them() -> None:
    assert covered_suffix("*.amazonaws.com").endswith(".amazonaws.com")
    assert covered_suffix("*.compute.amazonaws.com")
    assert covered_suffix("*.xn--mre-og-romsdal-qqb.no") == "xn--hery-ira.xn--mre-og-romsdal-qqb.no"  # the list has them in Norwegian


@pytest.mark.parametrize(
    "glob",
    [
        "github.io", "acme.github.io", "*.acme.github.io", "*.acme.co.uk", "mcp.example.com", "*.example.com", "*.acme.corp.internal",
        "*.corp.internal", "*.team.svc.cluster.local", "*.mcp.a.b.example.org", "10.0.0.1", "::1",
    ],
)  # fmt: skip
def test_patterns_of_one_owner(glob: str) -> None:
    assert covered_suffix(glob) == ""
