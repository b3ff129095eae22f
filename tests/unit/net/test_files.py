"""A stamp tells whether a file is still the one that was read."""

import os
from pathlib import Path

from junctor.net.files import FileStamp


def test_stamp_changes_when_a_file_is_rewritten_or_replaced(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    file.write_text("one")
    before = FileStamp.of(file)
    assert FileStamp.find(file) == before
    os.utime(file, ns=(before.modified_ns, before.modified_ns + 1))
    assert FileStamp.of(file) != before
    other.write_text("two")
    os.utime(other, ns=(before.modified_ns, before.modified_ns))
    other.replace(file)
    assert FileStamp.of(file) != before


def test_a_file_that_is_missing_has_none(tmp_path: Path) -> None:
    assert FileStamp.find(tmp_path / "nothing") is None
