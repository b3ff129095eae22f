"""Reads manifests from files, directories and standard input into one set of objects, as `kubectl apply` would create them."""

import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from junctor.offline.files import manifest_files
from junctor.offline.manifests import NO_MANIFEST, Manifest, ObjectKey, parse_manifests
from junctor.offline.problems import InputError, Problem

STDIN: Final = "-"
_UIDS: Final = uuid.UUID("0d6f1f7e-3f55-4f0a-9f3c-6b1c2f6f8a10")
#: Objects without a creationTimestamp count as younger than those with one, in the order in which they were read.
_YOUNG: Final = "9999-01-01T00:00:00.{:06d}Z"


@dataclass(slots=True)
class Collected:
    """Everything that was read. files: how many contain manifests. notes: which files were passed over, and why."""

    objects: dict[ObjectKey, Manifest] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0

    def of_kind(self, kind: str) -> Iterator[Manifest]:
        """Yield the objects of a kind in the order of the input."""
        return (manifest for key, manifest in self.objects.items() if key.kind == kind)


def collect(paths: Sequence[str], stdin: BinaryIO) -> Collected:
    """Read and check files, directories (recursively) and standard input (`-`).

    A file of a directory that holds no manifest, such as a Helm values file, is passed over with a note; in a file that is named itself
    the same is an error. Raises InputError for a path that does not exist and for a directory without files.
    """
    collected = Collected()
    for name in paths:
        path = Path(name)
        if name == STDIN:
            _read(collected, "<stdin>", stdin.read)
        elif path.is_dir():
            _read_directory(collected, path)
        elif path.exists():
            _read(collected, name, path.read_bytes)
        else:
            raise InputError(f"{name} does not exist")
    return collected


def _read_directory(collected: Collected, directory: Path) -> None:
    files: list[Path] = []
    unlisted: list[Problem] = []
    for path, status in manifest_files(directory):
        if isinstance(status, OSError):
            unlisted.append(Problem(str(path), f"the directory cannot be listed: {status.strerror}"))
        elif stat.S_ISREG(status.st_mode):
            files.append(path)
    collected.problems += unlisted
    if not files and not unlisted:
        raise InputError(f"{directory} holds no .yaml, .yml or .json file")
    for path in sorted(files):
        _read(collected, str(path), path.read_bytes, passes_over=True)


def _read(collected: Collected, file: str, read: Callable[[], bytes], *, passes_over: bool = False) -> None:
    """Add what a file holds. passes_over: whether a file without a manifest is noted instead of being an error."""
    try:
        text = read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        collected.files += 1
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        collected.problems.append(Problem(file, f"cannot be read: {why}"))
        return
    parsed = parse_manifests(text, file)
    if passes_over and not parsed.is_manifest_file:
        collected.notes.append(f"{file}: {NO_MANIFEST}")
        return
    collected.files += 1
    collected.problems += parsed.problems
    for manifest in parsed.manifests:
        _add(collected, manifest)


def _add(collected: Collected, manifest: Manifest) -> None:
    """Add an object with the metadata that the API server would give it."""
    key = manifest.key
    first = collected.objects.get(key)
    if first is not None:
        message = f"{key} is defined in {first.file}:{first.line} already; remove one of them"
        collected.problems.append(Problem(manifest.file, message, manifest.line))
        return
    metadata = manifest.body["metadata"]
    identity = {
        "namespace": key.namespace,
        "uid": str(metadata.get("uid") or uuid.uuid5(_UIDS, str(key))),
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": str(metadata.get("creationTimestamp") or _YOUNG.format(len(collected.objects))),
    }
    collected.objects[key] = replace(manifest, body={**manifest.body, "metadata": {**metadata, **identity}})
