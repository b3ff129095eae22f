"""How commands print: aligned tables, and YAML as kubectl writes it."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield the lines of a table, with its columns aligned as kubectl aligns them."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def yaml_text(document: Any, *, sort_keys: bool = False) -> str:
    """Return a document as YAML, with texts of several lines as blocks: a shard then shows one connector on each line."""
    import yaml  # imported late: most commands print no YAML

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the one in C where it exists: maps can be large

    class Dumper(base):  # type: ignore[misc]  # the base is chosen at run time
        """A dumper with a representation of its own for texts."""

    def represent_text(dumper: Any, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, represent_text)
    text: str = yaml.dump(document, Dumper=Dumper, sort_keys=sort_keys, allow_unicode=True, width=2**31 - 1)
    return text
