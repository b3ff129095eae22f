"""A pod names what it does not use, and no more of one registry than the operator can read."""

import pytest

from junctor.gateway.serving.rejections import MAX_NAMED_PER_REGISTRY, Rejection, bounded_rejections


def servers(registry_id: str, count: int) -> list[tuple[str, str]]:
    return [(f"mcp::{registry_id}::io.acme/{number:03}", f"reason {number}") for number in range(count)]


def named(*rejected: tuple[str, str]) -> tuple[Rejection, ...]:
    return tuple(Rejection(*each) for each in rejected)


@pytest.mark.parametrize(
    ("rejected", "expected"),
    [
        ([], ()),
        ([("b", "no"), ("a", "also no")], named(("a", "also no"), ("b", "no"))),
        ([("mcp::internal", "all of them"), ("a", "no")], named(("a", "no"), ("mcp::internal", "all of them"))),
        ([*servers("internal", 2), ("a", "no")], named(("a", "no"), *servers("internal", 2))),
    ],
)
def test_rejections_are_in_the_order_of_ids(rejected: list[tuple[str, str]], expected: tuple[Rejection, ...]) -> None:
    assert bounded_rejections(rejected) == expected


@pytest.mark.parametrize(("count", "is_counted"), [(MAX_NAMED_PER_REGISTRY, False), (MAX_NAMED_PER_REGISTRY + 1, True), (500, True)])
def test_of_a_registry_only_so_many_servers_are_named_and_the_rest_is_counted(count: int, is_counted: bool) -> None:
    found = bounded_rejections([*servers("internal", count), *servers("other", 1)])
    total = named(("mcp::internal", f"{count} of its servers are not used; of one of them: reason 0")) if is_counted else ()
    assert found == (*total, *named(*servers("internal", MAX_NAMED_PER_REGISTRY), *servers("other", 1)))


def test_connectors_outside_registries_are_all_named() -> None:
    rejected = [(f"connector-{number:04}", "no") for number in range(1000)]
    assert bounded_rejections(rejected) == named(*rejected)
