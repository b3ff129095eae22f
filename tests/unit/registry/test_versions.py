import random
from itertools import pairwise

import pytest

from junctor.registry.versions import are_comparable, is_newer, order_key

#: The newest last: others by publication, then semantic versions (the chain of pre-releases is semver.org 2.0.0, section 11).
ORDERED = [
    ("zulu", 0.0),
    ("2025-12-11", 100.0),
    ("latest", 200.0),
    ("1.0", 300.0),
    ("01.0.0", 400.0),
    ("0.0.1", 0.0),
    ("1.0.0-1", 0.0),
    ("1.0.0-2", 900.0),
    ("1.0.0-10", 0.0),
    ("1.0.0-alpha", 0.0),
    ("1.0.0-alpha.1", 0.0),
    ("1.0.0-alpha.beta", 0.0),
    ("1.0.0-beta", 0.0),
    ("1.0.0-beta.2", 0.0),
    ("1.0.0-beta.11", 0.0),
    ("v1.0.0-rc.1", 0.0),
    ("1.0.0", 0.0),
    ("1.0.9", 500.0),
    ("1.0.10", 10.0),
    ("v1.2.0", 0.0),
    ("1.10.0", 0.0),
    ("2.0.0", 0.0),
    ("20251017.0.0", 0.0),
]


@pytest.mark.parametrize(("older", "newer"), list(pairwise(ORDERED)), ids=lambda version: version[0])
def test_semantic_versions_follow_all_others_and_each_other_by_precedence(older: tuple[str, float], newer: tuple[str, float]) -> None:
    assert is_newer(*newer, *older)
    assert not is_newer(*older, *newer)


def test_the_newest_is_the_same_whatever_the_order_in_which_versions_come() -> None:
    for seed in range(20):
        versions = random.Random(seed).sample(ORDERED, len(ORDERED))
        best = versions[0]
        for version in versions[1:]:
            best = version if is_newer(*version, *best) else best
        assert best == ORDERED[-1]
        assert sorted(versions, key=lambda version: order_key(*version)) == ORDERED


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (("1.0.0+build.1", 20.0), ("1.0.0+build.2", 10.0)),
        (("v1.0.0", 20.0), ("1.0.0", 10.0)),
        (("1.0.0", 10.0), ("v1.0.0", 0.0)),
        (("1.0.0+b", 0.0), ("1.0.0+a", 0.0)),
        (("b", 0.0), ("a", 0.0)),
    ],
)
def test_among_equals_the_time_of_publication_decides_then_the_text(newer: tuple[str, float], older: tuple[str, float]) -> None:
    assert is_newer(*newer, *older)
    assert not is_newer(*older, *newer)


def test_no_version_is_newer_than_itself() -> None:
    assert not any(is_newer(*version, *version) for version in ORDERED)


@pytest.mark.parametrize(
    ("version", "other", "expected"),
    [
        ("1.0.0", "1.0.1", True),
        ("main", "main", True),
        ("1.0.0+a", "1.0.0+a", True),
        ("1.0.0+a", "1.0.0+b", False),
        ("1.0.0", "main", False),
        ("main", "1.0.0", False),
        ("alpha", "beta", False),
    ],
)
def test_texts_tell_when_both_are_semantic_and_of_different_precedence(version: str, other: str, expected: bool) -> None:
    assert are_comparable(version, other) is expected


@pytest.mark.parametrize("unit", ["1", "1.", "1.0.0-", "1.0.0-a.", "1.0.0+", "-.", "v"])
def test_endless_texts_are_no_semantic_versions(unit: str) -> None:
    endless = unit * (1_000_000 // len(unit))
    assert is_newer("0.0.1", 0.0, endless, 0.0)
