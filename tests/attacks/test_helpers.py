"""The instruments show what an attack does."""

from tests.support.attacks import RawConnection, bystander, cpu_seconds, memory, reset_peak
from tests.support.running_gateway import RunningGateway


def test_memory_cpu_and_a_bystander_are_measured(victim: RunningGateway) -> None:
    before = reset_peak(victim.process)
    assert 10 < before.now <= memory(victim.process).peak < before.now + 50
    used = cpu_seconds(victim.process)
    with bystander(f"{victim.management}/-/livez") as probes:
        while len(probes.latencies) < 20:
            pass
    assert not probes.failures
    assert 0 < probes.median <= probes.slowest
    assert used <= cpu_seconds(victim.process) < used + 30


def test_a_raw_connection_sends_what_it_likes(victim: RunningGateway) -> None:
    with RawConnection(victim.url) as connection:
        assert connection.send(b"nonsense\r\n\r\n") == 12
        assert connection.receive().startswith(b"HTTP/1.1 400 ")
        assert connection.closed_within(60)
