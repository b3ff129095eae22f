"""Reads YAML as kubectl does, and keeps the position of every field, so that a fault can be reported with its place.

Scalars follow YAML 1.1 as kubectl's parser does: `yes` and `y` are booleans, `1e3` is a number, dates and `1:30` are text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_TRUE: Final = frozenset({"y", "yes", "on", "true"})
#: Plain scalars that PyYAML reads as text and kubectl does not.
_ONE_LETTER_FLAG: Final = re.compile(r"[yYnN]")
_NUMBER_WITHOUT_POINT: Final = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
_OCTAL: Final = re.compile(r"[-+]?0o[0-7]+")

MAX_BYTES: Final = 1024 * 1024
#: Values of one document, aliases expanded. A whole text may have as many more than it has characters, which only aliases can exceed: many
#: small documents full of aliases cost no more than one.
_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 100

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; line and column count from 1."""

    line: int
    column: int


class YamlFault(Exception):
    """The text, or one document of it, cannot be read. `position` says where."""

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its value, the position of each field, and duplicate keys, of which kubectl would silently drop one."""

    value: Any
    positions: dict[Path, Position]
    duplicates: list[tuple[str, Position]] = field(default_factory=list)

    def position(self, path: Path) -> Position:
        """Return the position of `path`, or of the nearest parent that exists."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions[path]


def documents(text: str) -> Iterator[Document | YamlFault]:
    """Yield the documents of a YAML text that are not empty. A fault of one does not affect the others; a syntax error ends the text."""
    loader = None
    left = len(text) + _MAX_NODES
    try:
        loader = _Loader(text)
        while loader.check_node():
            node: Any = loader.get_node()
            reader = _Reader(left)
            try:
                document = _document(node, text, reader)
            except YamlFault as fault:
                yield fault
                continue
            finally:
                left -= reader.seen
            if document.value is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        yield YamlFault(f"not valid YAML: {what}", _position(mark) if mark else Position(1, 1))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        yield YamlFault(f"not valid YAML: {error.reason}", Position(before.count("\n") + 1, len(before) - before.rfind("\n")))
    except RecursionError:
        yield YamlFault(f"nested deeper than {_MAX_DEPTH} levels", Position(1, 1))
    finally:
        if loader is not None:
            loader.dispose()


def _document(node: yaml.Node, text: str, reader: "_Reader") -> Document:
    start = _position(node.start_mark)
    if len(text[node.start_mark.index : node.end_mark.index].encode()) > MAX_BYTES:
        raise YamlFault("the document is larger than 1 MiB, more than a cluster would take; split it", start)
    value = reader.value(node, ())
    return Document(value, {(): start} | reader.positions, reader.duplicates)


class _Reader:
    """Turns nodes into values. Aliases are expanded, within bounds. left: how many values the text may still have; seen: those read."""

    def __init__(self, left: int) -> None:
        self.positions: dict[Path, Position] = {}
        self.duplicates: list[tuple[str, Position]] = []
        self.seen = 0
        self._left = left

    def value(self, node: yaml.Node, path: Path, depth: int = 0) -> Any:
        self.seen += 1
        if self.seen > _MAX_NODES:
            raise YamlFault(f"more than {_MAX_NODES} values, aliases counted; split the document", _position(node.start_mark))
        if self.seen > self._left:
            raise YamlFault("more aliases in this file than can be expanded; write the values out", _position(node.start_mark))
        if depth > _MAX_DEPTH:  # also ends an alias that contains itself
            raise YamlFault(f"nested deeper than {_MAX_DEPTH} levels", _position(node.start_mark))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            items = []
            for index, item in enumerate(node.value):
                self.positions[*path, index] = _position(item.start_mark)
                items.append(self.value(item, (*path, index), depth + 1))
            return items
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        raise YamlFault(f"the YAML tag {node.tag} is not allowed; remove it", _position(node.start_mark))

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        # First, so that the position of a field of the object itself wins over its position in a merged object.
        for key, child in node.value:
            if key.tag == f"{_TAG}merge":
                for source in child.value if isinstance(child, yaml.SequenceNode) else [child]:
                    content = self.value(source, path, depth + 1)
                    if not isinstance(content, dict):
                        raise YamlFault("<< needs a mapping", _position(key.start_mark))
                    for name, item in content.items():
                        merged.setdefault(name, item)
        own: dict[str, Any] = {}
        for key, child in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            where = _position(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                raise YamlFault("a key must be a plain string", where)
            name = str(key.value)
            if name in own:
                self.duplicates.append((".".join(str(part) for part in (*path, name)), where))
            self.positions[*path, name] = where
            own[name] = self.value(child, (*path, name), depth + 1)
        return merged | own


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in _TRUE
        case "int" | "float" if ":" not in text:
            return _number(text)
        case "str" if node.style in (None, "") and _ONE_LETTER_FLAG.fullmatch(text):
            return text.lower() in _TRUE
        case "str" if node.style in (None, "") and _NUMBER_WITHOUT_POINT.fullmatch(text):
            return _number(text)
        case "str" if node.style in (None, "") and _OCTAL.fullmatch(text):
            return int(text.replace("0o", ""), 8)
        case "str" | "int" | "float" | "timestamp" | "value":
            return text
        case _:
            raise YamlFault(f"the YAML tag {node.tag} is not allowed; remove it", _position(node.start_mark))


def _number(text: str) -> int | float | str:
    plain = text.replace("_", "").lower()
    try:
        digits = plain.lstrip("+-")
        if digits.startswith(("0x", "0b")):
            return int(plain, 0)
        if re.fullmatch(r"0[0-7]+", digits):
            return int(plain, 8)
        if digits.isdigit():
            return int(plain)
        number = float(plain.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # an explicit tag on something that is not a number, or more digits than Python converts
        return text
    return int(number) if abs(number) < 2**53 and number == int(number) else number


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)
