"""docs/architecture.md names files that exist, every package, and paths that stay short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "junctor"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")

#: The most files that a reader has to open to follow each path.
LONGEST = {"connector": 30, "registry": 22, "request": 40}


def files_on(path: str) -> list[str]:
    table = PAGE.partition(f"<!-- path: {path} -->")[2].partition("<!-- end -->")[0]
    return re.findall(r"`([a-z_/]+\.py)`", table)


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`((?!tests/)[a-z_]+/[a-z_/]+\.py)`", PAGE))))
def test_file_that_the_page_names_exists(file: str) -> None:
    assert (PACKAGE / file).is_file()


@pytest.mark.parametrize("path", LONGEST)
def test_path_is_short(path: str) -> None:
    files = files_on(path)
    assert 10 < len(set(files)) == len(files) <= LONGEST[path]
    below = PAGE.partition(f"<!-- path: {path} -->")[2].partition("<!-- end -->")[2]
    assert below.startswith(f"\n\n{len(files)} files.\n"), "the number of files below the table"


@pytest.mark.parametrize("package", [*PACKAGE.iterdir(), *(PACKAGE / "gateway").iterdir()], ids=lambda path: path.name)
def test_page_shows_every_package(package: Path) -> None:
    if package.is_dir() and package.name != "__pycache__":
        assert re.search(rf"^ .*\b{package.name}\b", PAGE, re.MULTILINE), f"{package.name} is missing in the pictures of packages"
