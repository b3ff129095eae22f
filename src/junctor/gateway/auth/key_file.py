"""The file of API keys: a YAML or JSON list of {name, groups, sha256}. It holds hashes only, so reading it gives nobody a key.

SHA-256 without salt suits the random keys that `junctor apikey` makes; it would not protect a password.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import yaml

from junctor.gateway.auth.ports import Caller, CallersError
from junctor.net.files import FileStamp

#: Bytes; a Secret cannot be larger.
_MAX_BYTES: Final = 1024 * 1024
_FIELDS: Final = ("name", "groups", "sha256")
_NAME: Final = re.compile(r"[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]{0,126}[^\x00-\x20\x7f])?")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
#: The safe loader, in C where there is one.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, of which only the hash is known. sha256: the digest."""

    caller: Caller
    sha256: bytes


def new_key() -> str:
    """Return a new random key. Its prefix lets people and secret scanners recognize it."""
    return f"junctor_{secrets.token_urlsafe(32)}"


def entry_of(key: str, name: str, groups: tuple[str, ...]) -> str:
    """Return the file's entry for a key, as YAML. Raises CallersError for an invalid name."""
    text: str = yaml.safe_dump(
        [{"name": name, "groups": list(groups), "sha256": digest_of(key).hex()}], sort_keys=False, allow_unicode=True, width=10_000
    )
    parse_keys(text, "the new entry")
    return text


def digest_of(key: str) -> bytes:
    """Return the SHA-256 of a key, as the file has it."""
    return hashlib.sha256(key.encode()).digest()


def read_keys(path: Path) -> tuple[FileStamp, tuple[ApiKey, ...]]:
    """Return the stamp of the file and its keys, both of the same opened file. Raises CallersError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise CallersError(f"{path}: does not exist; make its first entry with: junctor apikey NAME") from None
    except OSError as error:
        raise CallersError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise CallersError(f"{path}: is larger than 1 MiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise CallersError(f"{path}: is not UTF-8 text") from None
    return FileStamp.of_status(status), parse_keys(text, str(path))


def parse_keys(text: str, source: str) -> tuple[ApiKey, ...]:
    """Return the keys in a file's text; none when it is empty.

    Raises CallersError. Its message never repeats a value, because that may be a key by mistake.
    """
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise CallersError(f"{source}: is not YAML{f' at line {mark.line + 1}' if mark else ''}") from None
    if value is None:
        return ()
    if not isinstance(value, list):
        raise CallersError(f"{source}: must be a list of entries with {', '.join(_FIELDS)}")
    keys: dict[bytes, ApiKey] = {}
    for number, entry in enumerate(value, 1):
        key = _key(entry, f"{source}: entry {number}")
        if key.sha256 in keys:
            raise CallersError(f"{source}: entry {number}: another entry has the same sha256; remove one")
        keys[key.sha256] = key
    return tuple(keys.values())


def _key(entry: Any, where: str) -> ApiKey:
    if not isinstance(entry, Mapping):
        raise CallersError(f"{where}: must have {', '.join(_FIELDS)}")
    if not set(entry) <= set(_FIELDS):
        raise CallersError(f"{where}: has a field that is not known; possible are {', '.join(_FIELDS)}")
    name, groups, sha256 = entry.get("name"), entry.get("groups"), entry.get("sha256")
    groups = [] if groups is None else groups
    if not _is_name(name):
        raise CallersError(f"{where}: name must be text of 1 to 128 printable characters")
    if not isinstance(groups, list) or not all(_is_name(group) for group in groups):
        raise CallersError(f"{where}: groups must be a list of names, each of 1 to 128 printable characters")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise CallersError(f"{where}: sha256 must be the key's SHA-256 as 64 hexadecimal digits in quotes, never the key itself")
    return ApiKey(Caller("User", name, tuple(groups)), bytes.fromhex(sha256))


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
