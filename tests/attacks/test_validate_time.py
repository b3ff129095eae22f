"""A file that was written to keep `junctor validate` busy takes it seconds of CPU at most."""

import resource
import subprocess
import sys

import pytest

#: Seconds of CPU after which the kernel ends the process; the texts below need one or two.
CPU_SECONDS = 10


def alias_bomb(depth: int = 9) -> str:
    """A document of 500 characters that says 1,000,000,000 values."""
    levels = [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]\n" for level in range(1, depth)]
    return "---\nl0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(levels)


def merges(count: int) -> str:
    """A mapping that merges many mappings into many keys."""
    keys = ", ".join(f"k{number}: 1" for number in range(count))
    return f"a: {{<<: [{{{keys}}}{', {}' * count}]}}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("---\na: 1\n" * 20_000, "kind: is required, as a string", id="many documents"),
        pytest.param(alias_bomb() * 300, "more aliases in this file than can be expanded", id="many documents full of aliases"),
        pytest.param(merges(48_000), "kind: is required, as a string", id="many merged mappings"),
    ],
)
def test_validate_takes_time_in_proportion_to_its_input(text: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "junctor.cli.main", "validate", "-"],
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1)),
        check=False,
    )
    assert done.returncode == 1, f"ended with {done.returncode}: -24 is the kernel's limit of {CPU_SECONDS} s of CPU"
    assert told in done.stdout.decode()
