"""The step limit: entries, credentials and maps that are too large."""

from itertools import count, islice
from typing import Any

import pytest

from junctor.api.conditions import Reason
from junctor.api.limits import weight_of
from junctor.api.resources import ConnectorResource
from junctor.connectormap.credentials import CREDENTIALS_LIMIT, credential_object, reference_hash
from junctor.connectormap.entry import ENTRY_LIMIT, Entry
from junctor.planning.acceptance import ACCEPTED, RESOLVED, Verdict
from junctor.planning.entries import origin_of_resource
from junctor.planning.inputs import CredentialVersion, Inputs, Published
from junctor.planning.limit import limit_credentials, limit_entry
from tests.unit.planning.building import Story, connector, discovered, gateway, ids, reason, registry, server, synced, verdict

HALF = CREDENTIALS_LIMIT // 2


def verdict_on(resource: ConnectorResource, *credentials: str, entry: Entry | None = None) -> Verdict:
    """The verdict on an accepted connector that names these credentials."""
    return Verdict(resource, resource.name, ACCEPTED, RESOLVED, entry or Entry.of({"id": resource.name}), credentials=credentials)


def entry_of_size(size: int) -> Entry:
    """An entry whose line has this many bytes."""
    empty = Entry.of({"id": "x", "title": ""})
    return Entry.of({"id": "x", "title": "t" * (size - empty.size)})


# --- entries ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, ENTRY_LIMIT])
def test_entry_that_fits_is_not_touched(size: int) -> None:
    verdict = verdict_on(connector("x"), entry=entry_of_size(size))
    assert limit_entry(verdict) is verdict


def test_verdict_without_an_entry_is_not_touched() -> None:
    verdict = Verdict(connector("x"), "x", ACCEPTED, RESOLVED)
    assert limit_entry(verdict) is verdict


@pytest.mark.parametrize(("size", "part"), [(ENTRY_LIMIT + 1, "needs 64 KiB in the map, at most 64;"), (200 * 1024, "needs 200 KiB")])
def test_entry_that_is_too_large_is_refused(size: int, part: str) -> None:
    verdict = limit_entry(verdict_on(connector("x"), "credential", entry=entry_of_size(size)))
    assert (verdict.id, verdict.accepted.status, verdict.accepted.reason) == ("x", "False", Reason.TOO_LARGE)
    assert part in verdict.accepted.message
    assert (verdict.entry, verdict.credentials) == (None, ())


# --- credentials ------------------------------------------------------------------------------------------------------------------------


def keys_in(number: int) -> list[str]:
    """Three keys of the Secret team-a/token that one credential Secret holds."""
    keys = (f"k{n}" for n in count())
    return list(islice((key for key in keys if credential_object(reference_hash("team-a", "token", key)) == number), 3))


(A, B, C), (OTHER, *_) = keys_in(0), keys_in(1)


def credential(key: str) -> str:
    """What an entry calls a key of team-a/token."""
    return f"{reference_hash('team-a', 'token', key)}.0123456789abcdef"


def look(**sizes: int) -> Inputs:
    """A cluster with the Secret team-a/token, whose keys have values of these sizes."""
    versions = {key: CredentialVersion("0123456789abcdef", size) for key, size in sizes.items()}
    return Inputs({}, secrets={("team-a", "token"): versions})


def refused_of(sizes: dict[str, int], *verdicts: Verdict, published: Published | None = None) -> dict[str, Verdict]:
    """The refusals, by the name of the resource."""
    refusals = limit_credentials({v.resource.uid: v for v in verdicts}, look(**sizes), published or Published(), "default")
    return {v.resource.name: v for v in refusals.values()}


OLD, YOUNG = connector("old", age=5), connector("young", age=1)
FIRST_UID, SECOND_UID = connector("b", uid="1"), connector("a", uid="2")


@pytest.mark.parametrize(
    ("incumbent", "fits", "does_not"),
    [(None, OLD, YOUNG), (None, FIRST_UID, SECOND_UID), (YOUNG, YOUNG, OLD), (SECOND_UID, SECOND_UID, FIRST_UID)],
    ids=["older", "smaller-uid", "incumbent", "incumbent-of-equal-age"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_incumbent_then_the_oldest_then_the_smallest_uid_keeps_its_place(
    incumbent: ConnectorResource | None, fits: ConnectorResource, does_not: ConnectorResource, order: int
) -> None:
    origins = {incumbent.name: origin_of_resource(incumbent)} if incumbent else {}
    verdicts = [verdict_on(fits, credential(A)), verdict_on(does_not, credential(B))][::order]
    refusals = refused_of({A: HALF, B: HALF}, *verdicts, published=Published(origins=origins))
    assert list(refusals) == [does_not.name]


def test_refusal_for_credentials_says_which_gateway_is_full() -> None:
    refusals = refused_of({A: HALF, B: HALF}, verdict_on(OLD, credential(A)), verdict_on(YOUNG, credential(B)))
    verdict = refusals["young"]
    assert (verdict.accepted.reason, verdict.entry, verdict.credentials) == (Reason.CREDENTIALS_TOO_LARGE, None, ())
    assert "the credentials of gateway default would exceed 675 KiB in one Secret; use smaller" in verdict.accepted.message


@pytest.mark.parametrize(
    ("sizes", "of_old", "of_young", "refused"),
    [
        ({A: HALF - 40, B: HALF - 40}, [A], [B], []),
        ({A: HALF, B: HALF}, [A], [B], ["young"]),
        ({A: HALF, OTHER: HALF}, [A], [OTHER], []),
        ({A: HALF, B: HALF}, [A], [A], []),
        ({A: HALF, B: HALF}, [A, B], [], ["old"]),
        ({A: HALF, B: HALF}, [A, B], [B], ["old"]),
        ({A: CREDENTIALS_LIMIT, B: 1, C: 1}, [A], [B, C], ["old"]),
    ],
    ids=["fit", "too-large", "in-different-Secrets", "shared", "of-one-resource", "refused-takes-no-place", "one-value"],
)
def test_each_credential_secret_has_a_limit(sizes: dict[str, int], of_old: list[str], of_young: list[str], refused: list[str]) -> None:
    verdicts = [verdict_on(OLD, *map(credential, of_old)), verdict_on(YOUNG, *map(credential, of_young))]
    assert list(refused_of(sizes, *verdicts)) == refused


# --- the map ------------------------------------------------------------------------------------------------------------------------------

BIG = 30_000


def limits(**fields: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Limits as (connectors, MiB)."""
    return {name: {"connectors": connectors, "bytes": mib * 1024**2} for name, (connectors, mib) in fields.items()}


def large(name: str, namespace: str = "team-a", **more: Any) -> ConnectorResource:
    """A connector of about 30 KB in the map."""
    names = [f"{number:03}".ljust(60, "t") for number in range(BIG // 63)]
    return connector(name, namespace=namespace, tools={"denied": names}, **more)


@pytest.mark.parametrize(
    ("configured", "refused"),
    [
        ({"map": (4, 100)}, []),
        ({"map": (3, 100)}, ["b2"]),
        ({"namespace": (1, 100)}, ["a2", "b2"]),
        ({"namespace": (2, 100)}, []),
        ({"map": (2, 100), "namespace": (1, 100)}, ["a2", "b2"]),
    ],
    ids=str,
)
def test_connectors_beyond_a_limit_are_refused_the_oldest_come_first(configured: dict[str, tuple[int, int]], refused: list[str]) -> None:
    names = {"a1": 9, "b1": 8, "a2": 7, "b2": 6}
    resources = [connector(name, namespace=f"team-{name[0]}", age=age) for name, age in names.items()]
    story = Story(gateway(limits=limits(**configured)))
    for _ in range(2):
        plan = story.plan(*reversed(resources))
        assert [item.name for item in resources if reason(plan, item) == Reason.LIMIT_EXCEEDED] == refused
        assert set(plan.entries) == names.keys() - set(refused)


def test_bytes_of_a_namespace_are_limited_and_the_message_says_where() -> None:
    many = [large(f"c{number:02}", age=27 - number) for number in range(20)]
    few = [connector("other", namespace="team-b")]
    story = Story(gateway(limits=limits(namespace=(1000, 1), map=(1000, 1))))
    plan = story.plan(*many, *[large(f"d{number:02}", age=1, uid=f"z{number:02}") for number in range(20)], *few)
    assert sum(map(weight_of, plan.entries.values())) <= 1024**2
    assert {item.name for item in many} < set(plan.entries)
    last = plan.verdicts["z19"].accepted
    assert last.reason == Reason.LIMIT_EXCEEDED
    assert last.message.startswith("namespace team-a would have more than 1 MiB of connectors on gateway default (limits.namespace);")


def test_what_is_published_stays_when_older_resources_come_or_a_limit_is_lowered() -> None:
    young, old = connector("young", age=1), connector("old", age=9)
    story = Story(gateway(limits=limits(map=(1, 100))))
    story.plan(young)
    plan = story.plan(young, old)
    assert (list(plan.entries), reason(plan, old)) == (["young"], "LimitExceeded")
    story.gateway = gateway()
    assert len(story.plan(young, old).entries) == 2
    story.gateway = gateway(limits=limits(map=(1, 100)))
    assert len(story.plan(young, old).entries) == 2
    assert list(story.plan(old).entries) == ["old"]


def test_a_connector_that_grows_beyond_a_limit_keeps_its_published_version() -> None:
    story = Story(gateway(limits=limits(map=(1000, 1))))
    others = [large(f"c{number:02}", age=9) for number in range(33)]
    before = story.plan(connector("x"), *others).entries
    assert len(before) == 34
    grown = large("x", generation=2)
    plan = story.plan(grown, *others)
    assert reason(plan, grown) == Reason.LIMIT_EXCEEDED
    assert plan.entries["x"] == before["x"]


def test_a_registry_that_grows_beyond_a_limit_keeps_its_published_servers_and_its_watermark() -> None:
    story = Story(gateway(limits=limits(map=(4, 100))))
    source = registry()
    first = discovered(server("a"), server("b"), watermark="first")
    story.plan(source, syncs={source.uid: synced(first)})
    more = synced(discovered(*(server(name) for name in "abcd"), watermark="second"))
    for _ in range(2):
        plan = story.plan(source, syncs={source.uid: more})
        assert ids(plan.discovered["mcp::internal"]) == ids(first.entries)
        assert plan.records[0].watermark == "first"
        sync = verdict(plan, source).sync
        assert sync is not None
        assert (sync.synced.status, sync.synced.reason) == ("False", Reason.LIMIT_EXCEEDED)
        assert sync.synced.message == (
            "the map would have more than 4 connectors on gateway default (limits.map): 2 servers stay published, of 4"
        )
    story.gateway = gateway()
    plan = story.plan(source, syncs={source.uid: more})
    assert (len(plan.discovered["mcp::internal"]), plan.records[0].watermark) == (4, "second")
