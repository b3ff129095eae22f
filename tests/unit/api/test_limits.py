"""The limits of a gateway's map."""

import pytest
from pydantic import ValidationError

from junctor.api.configuration import GatewaySpec, parse_configuration
from junctor.api.limits import DEFAULT_LIMITS, Limit, Room

MIB = 1024**2


@pytest.mark.parametrize(("text", "number"), [("64Mi", 64 * MIB), ("2Gi", 2048 * MIB), ("2048Ki", 2 * MIB), (5 * MIB, 5 * MIB)])
def test_bytes_are_written_as_in_kubernetes(text: object, number: int) -> None:
    assert Limit.model_validate({"connectors": 1, "bytes": text}).bytes == number


@pytest.mark.parametrize("text", ["64M", "-1", "1.5Gi", "", 12, "99999999999999999999", None])
def test_other_bytes_are_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        Limit.model_validate({"connectors": 1, "bytes": text})


def test_a_gateway_has_limits_of_its_own_and_the_operator_the_largest() -> None:
    text = """
    apiVersion: config.junctor.dev/v1alpha1
    kind: OperatorConfiguration
    gateways:
      - {name: a, namespace: junctor, map: a, limits: {registry: {connectors: 200000, bytes: 1Mi}}}
      - {name: b, namespace: junctor, map: b, limits: {namespace: {connectors: 7, bytes: 300Mi}}}
    """
    configuration = parse_configuration(text, "test")
    assert configuration.gateways[1].limits.map == DEFAULT_LIMITS.map
    assert configuration.limits.registry == Limit(connectors=200_000, bytes=DEFAULT_LIMITS.registry.bytes)
    assert configuration.limits.namespace == Limit(connectors=DEFAULT_LIMITS.namespace.connectors, bytes=300 * MIB)
    assert GatewaySpec(namespace="junctor").limits == DEFAULT_LIMITS


@pytest.mark.parametrize(
    ("others", "in_namespace", "room"),
    [
        (Room(0, 0), Room(0, 0), Room(100_000, 96 * MIB)),
        (Room(50_000, 60 * MIB), Room(0, 0), Room(55_000, 52 * MIB)),
        (Room(50_000, 60 * MIB), Room(50_000, 60 * MIB), Room(55_000, 44 * MIB)),
        (Room(110_000, 120 * MIB), Room(0, 0), Room(0, 0)),
    ],
)
def test_a_registry_has_what_the_others_leave_of_the_share_of_registries(others: Room, in_namespace: Room, room: Room) -> None:
    assert DEFAULT_LIMITS.room_of_registry(others, in_namespace) == room
