"""Notice that a file changed."""

import os
from pathlib import Path
from typing import NamedTuple, Self


class FileStamp(NamedTuple):
    """Two equal stamps mean that a file was not replaced or rewritten in between."""

    modified_ns: int
    size: int
    inode: int

    @classmethod
    def of_status(cls, status: os.stat_result) -> Self:
        """The stamp in the result of stat or fstat."""
        return cls(status.st_mtime_ns, status.st_size, status.st_ino)

    @classmethod
    def of(cls, path: Path) -> Self:
        """The stamp of a file. Raises OSError."""
        return cls.of_status(path.stat())

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """The stamp of a file; None when there is no file or its status cannot be read."""
        try:
            return cls.of(path)
        except OSError:
            return None
