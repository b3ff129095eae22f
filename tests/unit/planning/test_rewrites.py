"""How much of a map registries may have rewritten."""

import pytest

from junctor.planning.rewrites import ALL, REGISTRY, Rewrites
from tests.unit.planning.building import Story, discovered, ids, registry, secret, server, synced

MIB = 1024**2
ID = "mcp::internal"


@pytest.mark.parametrize(
    ("writes", "after", "pause"),
    [
        ([], 0, 0),
        ([128], 0, 0),
        ([128, 16], 0, 60),
        ([128, 16], 59, 1),
        ([128, 16], 61, 0),
        ([160], 0, 120),
        ([64], 10_000, 0),
    ],
)
def test_a_registry_that_wrote_more_than_its_bucket_waits_until_it_is_refilled(writes: list[int], after: float, pause: float) -> None:
    rewrites = Rewrites()
    for size in writes:
        rewrites = rewrites.spent({ID: size * MIB}, size * MIB, 1000.0)
    assert rewrites.ready_in(ID, 1000.0 + after) == pytest.approx(pause)


def test_all_registries_together_have_a_bucket_too() -> None:
    rewrites = Rewrites()
    for number in range(5):
        rewrites = rewrites.spent({f"mcp::{number}": 64 * MIB}, 64 * MIB, 0.0)
    assert rewrites.ready_in("mcp::another", 0.0) == pytest.approx(60)
    assert rewrites.ready_in("mcp::another", 61.0) == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    rewrites = Rewrites().spent({ID: MIB}, MIB, 0.0).spent({ID: int(REGISTRY.burst) + MIB}, MIB, 10_000.0)
    assert rewrites.ready_in(ID, 10_000.0) == pytest.approx(MIB / REGISTRY.refill)


def test_what_stays_in_etcd_between_two_compactions_is_far_below_its_quota() -> None:
    assert ALL.burst + 300 * ALL.refill + REGISTRY.burst < 2048 * MIB / 2


class Churning(Story):
    """A registry whose bucket is empty for a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.source = registry()
        self.sync(*map(server, "abc"), watermark="first")
        assert self.plan(self.source, syncs=self.syncs).wake_at is None
        self.memory = type(self.memory)(rewrites=Rewrites().spent({ID: int(REGISTRY.burst) + 16 * MIB}, 0, self.now))

    def sync(self, *servers: object, watermark: str = "second") -> None:
        self.syncs = {self.source.uid: synced(discovered(*servers, watermark=watermark))}  # type: ignore[arg-type]  # entries


def test_changes_of_a_registry_wait_for_tokens_and_none_is_lost() -> None:
    story = Churning()
    story.sync(server("a"), server("b", title="new"), server("c"), server("d"))
    plan = story.plan(story.source, syncs=story.syncs)
    assert ids(plan.discovered[ID]) == [f"{ID}::io.acme/{name}" for name in "abc"]
    assert plan.records[0].watermark == "first"
    assert plan.wake_at == pytest.approx(story.now + 60)
    story.now += 61
    plan = story.plan(story.source, syncs=story.syncs)
    assert ids(plan.discovered[ID]) == [f"{ID}::io.acme/{name}" for name in "abcd"]
    assert (plan.records[0].watermark, plan.wake_at) == ("second", None)


def test_what_may_not_be_called_any_more_never_waits() -> None:
    story = Churning()
    story.sync(server("a").without_target("HostNotAllowed"), server("b", title="new"))
    for _ in range(2):
        servers = story.plan(story.source, syncs=story.syncs).discovered[ID]
        assert ids(servers) == [f"{ID}::io.acme/{name}" for name in "ab"]
        assert servers[f"{ID}::io.acme/a"].reason == "HostNotAllowed"
        assert servers[f"{ID}::io.acme/b"].view.title == ""


def test_another_value_of_a_secret_waits_too_and_the_old_one_is_kept_meanwhile() -> None:
    story = Churning()
    source = story.source = registry(credentials=[{"servers": ["*"], "hosts": ["*.acme.com"], "auth": _bearer()}])
    story.memory = type(story.memory)()
    story.sync(server("a", key="value"))
    old = story.plan(source, syncs=story.syncs, secrets=secret(value=b"old")).credentials
    story.memory = type(story.memory)(rewrites=Rewrites().spent({ID: 2 * int(REGISTRY.burst)}, 0, story.now))
    assert story.plan(source, syncs=story.syncs, secrets=secret(value=b"new")).credentials == old
    story.now += 10_000
    new = story.plan(source, syncs=story.syncs, secrets=secret(value=b"new")).credentials
    assert len(new) == 1
    assert new != old


def test_other_registries_and_connectors_do_not_wait() -> None:
    story = Churning()
    other = registry("other", uid="other")
    syncs = story.syncs | {other.uid: synced(discovered(server("x", of="other"), of="other"))}
    assert len(story.plan(story.source, other, syncs=syncs).discovered["mcp::other"]) == 1


def _bearer() -> dict[str, object]:
    return {"bearer": {"secretKeyRef": {"name": "token", "key": "value"}}}
