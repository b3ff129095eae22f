"""`junctor render` on known input. JUNCTOR_UPDATE_GOLDEN=1 writes the files anew; look at the difference before you commit it."""

import os
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.running import run

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rendered_map_is_the_golden_one(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    options = case / "options.txt"
    result = run("render", "input.yaml", *(shlex.split(options.read_text()) if options.exists() else ()))
    wanted = {"want.yaml": result.stdout, "want-problems.txt": result.stderr}
    if os.environ.get("JUNCTOR_UPDATE_GOLDEN"):
        for name, text in wanted.items():
            (case / name).write_text(text, encoding="utf-8")
    assert result.stdout == (case / "want.yaml").read_text(encoding="utf-8")
    assert result.stderr == (case / "want-problems.txt").read_text(encoding="utf-8")
    errors = [line for line in result.stderr.splitlines() if ": warning: " not in line and not line.startswith("note: ")]
    assert result.code == (1 if errors else 0)
