"""Manifest files as they are on disk: read again when they changed, with the last good content of what is broken now."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from junctor.net.files import FileStamp
from junctor.net.timestamps import rfc3339
from junctor.offline.manifests import Manifest, parse_manifests
from junctor.standalone.objects import Body, Key

SUFFIXES: Final = (".yaml", ".yml", ".json")
LARGEST_FILE: Final = 5 * 1024 * 1024
#: Reserved: in the directory itself it will hold the gateway's own configuration.
GATEWAY_FILE: Final = "gateway.yaml"
#: Seconds for which a file that vanished or became empty keeps its content: editors replace files in more than one step.
SETTLE_SECONDS: Final = 0.15
_WITHOUT_NAMESPACE: Final = frozenset({"Namespace"})


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong with a file, and what to do. line and column count from 1; None when the whole file is meant."""

    file: str
    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = "".join(f":{number}" for number in (self.line, self.column) if number is not None)
        return f"{self.file}{place}: {self.message}"


class FoundObject(NamedTuple):
    """An object of a file. created: the file's modification time when the object was read, RFC 3339."""

    key: Key
    body: Body
    file: str
    line: int
    created: str


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was read last. missing_since: when it was first seen to be gone, on the reader's clock."""

    stamp: FileStamp | None
    objects: tuple[FoundObject, ...] = ()
    problems: tuple[FileProblem, ...] = ()
    note: str = ""
    missing_since: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """All files at one moment. files: by path, in order. problems: of directories. again: seconds until it is worth another look."""

    files: Mapping[str, FileState]
    problems: tuple[FileProblem, ...] = ()
    again: float | None = None


@dataclass(slots=True)
class ManifestFiles:
    """The files under `root`. Blocks: call it in a thread."""

    root: Path
    _files: dict[str, FileState] = field(default_factory=dict)

    def look(self, now: float) -> Look:
        """Read what changed. A directory that cannot be listed keeps the files that it had. now: monotonic seconds."""
        problems: list[FileProblem] = []
        present: dict[str, os.stat_result] = {}
        unlisted: list[str] = []
        for path, found in _walk(self.root):
            if isinstance(found, OSError):
                unlisted.append(str(path))
                problems.append(
                    FileProblem(str(path), f"the directory cannot be listed ({found.strerror}); what it held before stays in use")
                )
            else:
                present[str(path)] = found
        for name, status in present.items():
            stamp = FileStamp.of_status(status)
            held = self._files.get(name)
            if held is None or held.stamp != stamp:
                self._files[name] = self._read(name, status, stamp, held, now)
            elif held.missing_since is not None:
                self._files[name] = replace(held, missing_since=None)
        for name in [name for name in self._files if name not in present]:
            if any(Path(name).is_relative_to(directory) for directory in unlisted):
                continue
            since = self._files[name].missing_since
            if since is None:
                self._files[name] = replace(self._files[name], stamp=None, missing_since=now)
            elif now >= since + SETTLE_SECONDS:
                del self._files[name]
        waiting = any(state.missing_since is not None for state in self._files.values())
        return Look(dict(sorted(self._files.items())), tuple(problems), SETTLE_SECONDS if waiting else None)

    def _read(self, name: str, status: os.stat_result, stamp: FileStamp, held: FileState | None, now: float) -> FileState:
        kept = held.objects if held else ()
        try:
            text = _text(name, status)
        except _Unreadable as error:
            return FileState(stamp, kept, (FileProblem(name, f"{error}; its last good content stays in use"),))
        if not text.strip() and kept:
            since = held.missing_since if held and held.missing_since is not None else now
            if now < since + SETTLE_SECONDS:
                return FileState(None, kept, (), missing_since=since)
        return self._parsed(name, text, status, stamp, kept)

    def _parsed(self, name: str, text: str, status: os.stat_result, stamp: FileStamp, kept: tuple[FoundObject, ...]) -> FileState:
        manifests, found = parse_manifests(text, name)
        created = rfc3339(datetime.fromtimestamp(status.st_mtime, UTC), "microseconds")
        objects = {(item := _object(manifest, name, created)).key: item for manifest in reversed(manifests)}
        twice = [item for manifest in manifests if (item := _object(manifest, name, created)).line != objects[item.key].line]
        problems = [FileProblem(name, problem.message, problem.line, problem.column) for problem in found]
        problems += [
            FileProblem(
                name, f"{item.key} is defined in line {objects[item.key].line} already, which is used; remove one of them", item.line
            )
            for item in twice
        ]
        if found and Path(name) == self.root / GATEWAY_FILE and not manifests and not kept:
            return FileState(stamp, (), (), note=f"{name}: reserved for the gateway's own configuration, which this version does not read")
        if found:
            # Which object a problem belongs to cannot always be told, so nothing of a file with problems is taken for deleted.
            for item in kept:
                objects.setdefault(item.key, item)
        return FileState(stamp, tuple(sorted(objects.values(), key=lambda item: item.line)), tuple(problems))


class _Unreadable(Exception):
    """Why a file is not read."""


def _text(name: str, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        raise _Unreadable("is not a regular file")
    if status.st_size > LARGEST_FILE:
        raise _Unreadable(f"has {status.st_size / 2**20:.1f} MiB, at most {LARGEST_FILE // 2**20} are read; split it")
    try:
        with open(name, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _Unreadable(f"cannot be read ({error.strerror})") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable(f"is not UTF-8 text (byte {error.start})") from error


def _object(manifest: Manifest, name: str, created: str) -> FoundObject:
    metadata = manifest.body["metadata"]
    kind = manifest.body["kind"]
    namespace = "" if kind in _WITHOUT_NAMESPACE else metadata["namespace"]
    return FoundObject(Key(kind, namespace, metadata["name"]), manifest.body, name, manifest.line, created)


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result | OSError]]:
    """Every manifest file with its stat, and every directory that cannot be listed with the error. Hidden ones are left out."""
    pending, seen = [root], set[tuple[int, int]]()
    while pending:
        directory = pending.pop()
        try:
            status = directory.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue  # symbolic links can make circles
            seen.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(directory))
        except OSError as error:
            yield directory, error
            continue
        for name in names:
            path = directory / name
            if name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # gone meanwhile, or a link to nothing
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
            elif path.suffix in SUFFIXES:
                yield path, status
