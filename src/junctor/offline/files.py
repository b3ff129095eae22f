"""The manifest files of a directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SUFFIXES: Final = (".yaml", ".yml", ".json")


def manifest_files(root: Path) -> Iterator[tuple[Path, os.stat_result | OSError]]:
    """Yield every manifest file below `root` with its stat, and every directory that cannot be listed with the error.

    Follows symbolic links. Leaves out hidden files and directories, and links to nothing. Blocks.
    """
    pending, seen = [root], set[tuple[int, int]]()
    while pending:
        directory = pending.pop()
        try:
            status = directory.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue  # symbolic links can form a cycle
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
                continue  # it was deleted meanwhile, or is a link to nothing
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
            elif path.suffix in SUFFIXES:
                yield path, status
