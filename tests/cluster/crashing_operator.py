"""`python -m tests.cluster.crashing_operator STEP OPTIONS...`: the operator, killed with SIGKILL at a step of publishing."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from junctor.api.configuration import parse_configuration
from junctor.operator import app
from junctor.operator.map_objects import ConfigMapObjects
from junctor.reconcile.ports import StoredCredentials, StoredObject

#: Every step at which the operator is stopped, in their order: before a write, or after the head was written.
STEPS = ("credentials", "shards", "head", "after-head", "clean-up", "clean-up-credentials")


class CrashingMapObjects(ConfigMapObjects):
    """The objects of a map; the process dies at one step."""

    step = ""

    async def add_credentials(self, number: int, values: Mapping[str, bytes]) -> StoredCredentials:
        self._die_at("credentials")
        return await super().add_credentials(number, values)

    async def create_shard(self, name: str, text: str) -> StoredObject:
        self._die_at("shards")
        return await super().create_shard(name, text)

    async def write_head(self, text: str, expected: StoredObject | None) -> StoredObject:
        self._die_at("head")
        written = await super().write_head(text, expected)
        self._die_at("after-head")
        return written

    async def delete_shard(self, shard: StoredObject) -> None:
        self._die_at("clean-up")
        await super().delete_shard(shard)

    async def remove_credentials(self, stored: StoredCredentials, keys: frozenset[str]) -> StoredCredentials | None:
        self._die_at("clean-up-credentials")
        return await super().remove_credentials(stored, keys)

    def _die_at(self, reached: str) -> None:
        if reached == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(step: str, config: Path, kubeconfig: Path, namespaces: tuple[str, ...]) -> None:
    CrashingMapObjects.step = step
    vars(app)["ConfigMapObjects"] = CrashingMapObjects
    configuration = parse_configuration(config.read_text(), str(config))
    uvloop.run(app.run_operator(app.OperatorSettings(configuration, kubeconfig, namespaces, health_port=0, allow_loopback=True)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), tuple(sys.argv[4:]))
