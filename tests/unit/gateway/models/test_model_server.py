"""The gateway's keys for model servers in files."""

from pathlib import Path

import pytest

from junctor.gateway.models.model_server import KeyFile
from junctor.gateway.models.ports import UpstreamError


def test_key_is_read_again_when_the_file_changed(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("one\n")
    key = KeyFile(file)
    assert key() == key() == "one"
    file.write_text("another\n")
    assert key() == "another"


def test_key_that_moves_with_its_directory_is_followed(tmp_path: Path) -> None:
    """As the kubelet does it: a link is put in the place of another."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    link = tmp_path / "data"
    link.symlink_to("one")
    key = KeyFile(link / "key")
    assert key() == "one"
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(link)
    assert key() == "two"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"a\nb", b"\xff\xfe", "kö".encode()])
def test_unusable_key_is_an_error_without_the_key(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UpstreamError, match="no usable key") as caught:
        KeyFile(file)()
    assert caught.value.status == 503
    assert str(tmp_path) not in str(caught.value)
