"""The step limit: entries and credentials that are too large for a map."""

from itertools import count, islice

import pytest

from junctor.api.conditions import Reason
from junctor.api.resources import ConnectorResource
from junctor.connectormap.credentials import CREDENTIALS_LIMIT, credential_object, reference_hash
from junctor.connectormap.entry import ENTRY_LIMIT, Entry
from junctor.planning.acceptance import ACCEPTED, RESOLVED, Verdict
from junctor.planning.entries import origin_of_resource
from junctor.planning.inputs import CredentialVersion, Inputs, Published
from junctor.planning.limit import limit_credentials, limit_entry
from tests.unit.planning.building import connector

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
