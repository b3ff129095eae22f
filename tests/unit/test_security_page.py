"""docs/security.md names, for each threat, a test that runs the attack; and it names each file of such tests."""

import ast
import re
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
TABLE = PAGE.partition("## Threats and defences")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if re.match(r"\| *[0-9]", line)]
THREATS = {cells[0]: cells for cells in ROWS}
#: `tests/attacks/test_x.py` or `tests/attacks/test_x.py::test_y`.
NAMED = re.compile(r"`(tests/[\w/.-]+?\.py)(?:::(\w+))?`")
ATTACKS = sorted(chain((ROOT / "tests" / "attacks").glob("test_*.py"), (ROOT / "tests" / "cluster").glob("test_attack_*.py")))
#: Files that show that the instruments measure, and attack nobody.
INSTRUMENTS = {"tests/attacks/test_helpers.py"}


def test_each_row_has_a_number_of_its_own() -> None:
    assert sorted(map(int, THREATS)) == list(range(1, len(THREATS) + 1))
    assert len(THREATS) == len(ROWS) >= 22
    assert all(len(cells) == 4 and cells[1] for cells in ROWS)


@pytest.mark.parametrize("number", THREATS)
def test_a_threat_has_a_defence_and_names_tests(number: str) -> None:
    _, threat, defence, tests = THREATS[number]
    assert defence, f"{threat!r} has no defence"
    assert NAMED.search(tests), f"{threat!r} names no test"
    assert not NAMED.sub("", tests).strip(" ,"), f"{threat!r}: only tests stand in the last column"


@pytest.mark.parametrize(("path", "function"), sorted(set(NAMED.findall(PAGE))))
def test_what_the_page_names_exists(path: str, function: str) -> None:
    assert (ROOT / path).is_file()
    if function:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in defined, f"{path} has no {function}"


@pytest.mark.parametrize("path", sorted(str(file.relative_to(ROOT)) for file in ATTACKS))
def test_page_names_every_attack(path: str) -> None:
    if path not in INSTRUMENTS:
        assert path in {name for name, _ in NAMED.findall(TABLE)}, f"docs/security.md does not name {path}"
