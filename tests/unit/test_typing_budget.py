"""Untyped dictionaries are rare: JSON of our own has a type, JSON of others a name."""

import re
from collections import Counter
from pathlib import Path

import junctor

BUDGET = 60
UNTYPED = re.compile(r"\b(?:dict|Mapping)\[str, Any\]")


def test_untyped_dictionaries_stay_within_their_budget() -> None:
    package = Path(junctor.__file__).parent
    found = Counter({str(file.relative_to(package)): len(UNTYPED.findall(file.read_text())) for file in package.rglob("*.py")})
    assert found.total() <= BUDGET, (
        f"{found.total()} untyped dictionaries, at most {BUDGET} are permitted. Give data of our own a dataclass or a TypedDict, and use "
        f"the names of junctor.net.formats for JSON whose format others define. Most are in {found.most_common(5)}"
    )
