"""How commands print: lines that act on no terminal, aligned tables, and YAML as kubectl writes it."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from junctor.net.printable import printable, printable_lines


def print_line(text: str, *, err: bool = False) -> None:
    """Print one line, whatever the text holds. err: to standard error."""
    click.echo(printable(text), err=err)


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

    def dumped(allow_unicode: bool) -> str:
        text: str = yaml.dump(document, Dumper=Dumper, sort_keys=sort_keys, allow_unicode=allow_unicode, width=2**31 - 1)
        return text

    text = dumped(True)
    # YAML takes characters for printable that turn the direction of writing; escaped, the values stay what they are.
    return text if printable_lines(text) == text else dumped(False)
