"""The tables of docs/errors.md."""

from pathlib import Path
from typing import Final

_PAGE: Final = (Path(__file__).parents[2] / "docs" / "errors.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of a section's table, without back quotes."""
    section = _PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows[2:]]
