"""Any text as manifests: objects or problems, within seconds; and a map of whatever was accepted."""

import io
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from junctor.offline.collect import collect
from junctor.offline.plan import default_configuration
from junctor.offline.render import render_maps
from tests.support.fuzzing import JSON_TOKENS, mutated, replays

ROOT = Path(__file__).parents[2]
SEEDS = [
    path.read_bytes() for path in (*sorted((ROOT / "examples").rglob("*.yaml")), *sorted((ROOT / "tests/unit/golden").glob("*/input.yaml")))
]
TOKENS = (
    *JSON_TOKENS,
    *(
        b"---\n",
        b"...\n",
        b": ",
        b"- ",
        b"&a ",
        b"*a",
        b"!!binary ",
        b"!!python/name:os.system ",
        b"<<: ",
        b"? ",
        b"|\n",
        b">-\n",
        b"%YAML 9.9\n",
    ),
    *(
        b"~",
        b"0o777",
        b"0x1F",
        b"1_000",
        b"1:30",
        b".inf",
        b".nan",
        b"2001-01-01",
        b"y",
        b"=",
        b"\t",
        b"\r",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"#",
    ),
    *(
        b"kind: List\n",
        b"items: [*a]\n",
        b"namespace: x\n",
        b"spec:\n",
        b"status:\n",
        b"metadata:\n",
        b"namespace: ''\n",
        b"url: http://[\n",
    ),
)
CONFIGURATION = default_configuration("junctor", "junctor-connectors")
#: Seconds; far more than any of these texts takes.
PATIENCE = 10.0


@replays("manifests")
@given(data=mutated(SEEDS, TOKENS) | st.binary(max_size=80))
def test_any_text_is_manifests_or_problems(data: bytes) -> None:
    begun = time.monotonic()
    collected = collect(["-"], io.BytesIO(data))
    for with_credentials in (False, True):
        rendering = render_maps(collected, CONFIGURATION, {}, with_credentials=with_credentials)
        for problem in rendering.problems:
            str(problem).encode()
    assert time.monotonic() - begun < PATIENCE
