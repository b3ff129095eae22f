"""Reads the manifest files of a directory again when they change, and keeps the last good content of a file that is broken now."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Self

from junctor.net.files import FileStamp
from junctor.net.formats import KubernetesObjectView
from junctor.net.timestamps import rfc3339
from junctor.offline.files import manifest_files
from junctor.offline.manifests import NO_MANIFEST, Manifest, ObjectKey, parse_manifests
from junctor.offline.problems import Problem

LARGEST_FILE: Final = 5 * 1024 * 1024
#: Reserved for the gateway's own configuration, in the directory itself.
GATEWAY_FILE: Final = "gateway.yaml"
#: Seconds for which a file that vanished or became empty keeps its content: editors replace files in more than one step.
SETTLE_SECONDS: Final = 0.15


class FoundObject(NamedTuple):
    """An object of a file. created: the file's modification time when it was read, RFC 3339."""

    key: ObjectKey
    body: KubernetesObjectView
    file: str
    line: int
    created: str

    @classmethod
    def of(cls, manifest: Manifest, created: str) -> Self:
        """Take an object from a parsed file."""
        return cls(manifest.key, manifest.body, manifest.file, manifest.line, created)


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was last read.

    objects: in use, possibly from an earlier content. note: why the file is passed over, or "". missing_since: when the file was first
    found missing, on the reader's clock.
    """

    stamp: FileStamp | None
    objects: tuple[FoundObject, ...] = ()
    problems: tuple[Problem, ...] = ()
    note: str = ""
    missing_since: float | None = None


@dataclass(frozen=True, slots=True)
class DirectoryScan:
    """All files at one moment. files: by path, sorted. problems: of directories. again: seconds until the next scan is due, or None."""

    files: Mapping[str, FileState]
    problems: tuple[Problem, ...] = ()
    again: float | None = None


@dataclass(slots=True)
class ManifestFiles:
    """The files under `root`. Blocks: call it in a thread."""

    root: Path
    _files: dict[str, FileState] = field(default_factory=dict)

    def scan(self, now: float) -> DirectoryScan:
        """Read the files that changed. A directory that cannot be listed keeps its known files. now: monotonic seconds."""
        problems: list[Problem] = []
        present: dict[str, os.stat_result] = {}
        unlisted: list[Path] = []
        for path, found in manifest_files(self.root):
            if isinstance(found, OSError):
                unlisted.append(path)
                message = f"the directory cannot be listed ({found.strerror}); what it held before stays in use"
                problems.append(Problem(str(path), message))
            else:
                present[str(path)] = found
        for name, status in present.items():
            stamp = FileStamp.of_status(status)
            previous = self._files.get(name)
            if previous is None or previous.stamp != stamp:
                self._files[name] = self._read(name, status, stamp, previous, now)
            elif previous.missing_since is not None:
                self._files[name] = replace(previous, missing_since=None)
        for name in [name for name in self._files if name not in present]:
            if not any(Path(name).is_relative_to(directory) for directory in unlisted):
                self._remove(name, now)
        waiting = any(state.missing_since is not None for state in self._files.values())
        return DirectoryScan(dict(sorted(self._files.items())), tuple(problems), SETTLE_SECONDS if waiting else None)

    def _remove(self, name: str, now: float) -> None:
        """Forget a file that has been missing for long enough."""
        since = self._files[name].missing_since
        if since is None:
            self._files[name] = replace(self._files[name], stamp=None, missing_since=now)
        elif now >= since + SETTLE_SECONDS:
            del self._files[name]

    def _read(self, name: str, status: os.stat_result, stamp: FileStamp, previous: FileState | None, now: float) -> FileState:
        known = previous.objects if previous else ()
        try:
            text = _text(name, status)
        except _Unreadable as error:
            return FileState(stamp, known, (Problem(name, f"{error}; its last good content stays in use"),))
        if not text.strip() and known:
            since = previous.missing_since if previous and previous.missing_since is not None else now
            if now < since + SETTLE_SECONDS:
                return FileState(None, known, (), missing_since=since)
        return self._parsed(name, text, status, stamp, known)

    def _parsed(self, name: str, text: str, status: os.stat_result, stamp: FileStamp, known: tuple[FoundObject, ...]) -> FileState:
        """Merge a new content with the objects that are known from the content before."""
        parsed = parse_manifests(text, name)
        if not parsed.manifests and not known:
            if parsed.problems and Path(name) == self.root / GATEWAY_FILE:
                return FileState(stamp, note=f"{name}: reserved for the gateway's own configuration, which this version does not read")
            if not parsed.is_manifest_file:
                return FileState(stamp, note=f"{name}: {NO_MANIFEST}")
        created = rfc3339(datetime.fromtimestamp(status.st_mtime, UTC), "microseconds")
        objects: dict[ObjectKey, FoundObject] = {}
        problems = list(parsed.problems)
        for found in (FoundObject.of(manifest, created) for manifest in parsed.manifests):
            first = objects.setdefault(found.key, found)
            if first is not found:
                message = f"{found.key} is defined in line {first.line} already, which is used; remove one of them"
                problems.append(Problem(name, message, found.line))
        if parsed.problems:
            # Which object a problem belongs to is not always known, so no object of a file with problems counts as deleted.
            for item in known:
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
