"""`python -m tests.cluster.crashing_operator STEP OPTIONS...`: the operator, killed with SIGKILL at a step of publishing."""

import os
import signal
import sys
from pathlib import Path

import uvloop

from junctor.api.configuration import parse_configuration
from junctor.operator.app import OperatorSettings, run_operator

#: Every step at which the publisher can be stopped, in their order.
STEPS = ("credentials", "shards", "head", "after-head", "clean-up", "clean-up-credentials")


def main(step: str, config: Path, kubeconfig: Path, namespaces: tuple[str, ...]) -> None:
    def die_at(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    configuration = parse_configuration(config.read_text(), str(config))
    uvloop.run(run_operator(OperatorSettings(configuration, kubeconfig, namespaces, health_port=0), checkpoint=die_at))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), tuple(sys.argv[4:]))
