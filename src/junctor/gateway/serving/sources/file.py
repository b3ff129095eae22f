"""The map source `file:PATH`: YAML as `junctor render` prints it, for tests, air-gapped setups and looking at a map by hand."""

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import yaml

from junctor.connectormap.credentials import credential_object_name
from junctor.connectormap.errors import MapUnreadable
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.gateway.serving.sources import BadSource, SourceUnavailable
from junctor.net.files import FileStamp
from junctor.net.formats import KubernetesObjectView

_SUFFIXES: Final = (".yaml", ".yml", ".json")
#: The safe loader, in C where there is one.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_Stamps = Mapping[Path, FileStamp]


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects of all files as they were at one moment."""

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)


class FileSource:
    """`file:PATH[#NAME]`: one file, or every .yaml, .yml and .json file of a directory; hidden files are left out.

    `fetch_head` reads the files again when one of them has changed; shards and credentials come from that same reading.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._path = path
        self._chosen_name = name
        self._name = name or path.name
        self._stamps: _Stamps | None = None
        self._objects = _Objects()

    @classmethod
    def parse(cls, where: str) -> Self:
        """Parse `PATH[#NAME]`. An existing path may itself contain a #. Raises BadSource."""
        path, mark, name = where.rpartition("#")
        if not mark or Path(where).exists():
            return cls(Path(where))
        if not path or not name:
            raise BadSource(f"file:{where}: write file:PATH#NAME, where NAME is the name of the head ConfigMap")
        return cls(Path(path), name)

    @property
    def head_name(self) -> str:
        """The name of the head ConfigMap; before the first reading, the name of the file."""
        return self._name

    async def fetch_head(self) -> str | None:
        """Return the head in the files as they are now; None when no file has one."""
        # In a thread: a map of 50,000 connectors is 40 MB of YAML.
        self._stamps, self._objects = await asyncio.to_thread(_read, self._path, self._stamps, self._objects)
        heads = [name for name, data in self._objects.config_maps.items() if HEAD_KEY in data]
        if self._chosen_name is None and len(heads) > 1:
            raise MapUnreadable(
                f"{self._path}: holds {len(heads)} maps ({', '.join(sorted(heads)[:5])}); choose one with file:{self._path}#NAME"
            )
        name = self._chosen_name or (heads[0] if heads else None)
        if name is None or name not in self._objects.config_maps:
            return None
        self._name = name
        return self._text(name, HEAD_KEY)

    async def authenticate(self, head: str) -> None:
        """Accept every head: whoever may write the files may start a gateway with other ones."""

    async def fetch_shard(self, name: str) -> str | None:
        """Return a shard of the last reading."""
        return self._text(name, SHARD_KEY) if name in self._objects.config_maps else None

    async def fetch_credentials(self, number: int) -> Mapping[str, bytes]:
        """Return the values of one Secret of the last reading."""
        return self._objects.secrets.get(credential_object_name(self._name, number), {})

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    def _text(self, name: str, key: str) -> str:
        text = self._objects.config_maps[name].get(key)
        if not isinstance(text, str):
            raise MapUnreadable(f"{self._path}: ConfigMap {name} has no {key}")
        return text


def _read(path: Path, stamps: _Stamps | None, objects: _Objects) -> tuple[_Stamps, _Objects]:
    try:
        files = sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES and not f.name.startswith(".")) if path.is_dir() else [path]
        found = {file: FileStamp.of(file) for file in files}
        if found == stamps:
            return found, objects
        texts = {file: file.read_text(encoding="utf-8") for file in files}
    except FileNotFoundError as error:
        raise SourceUnavailable(f"{error.filename}: does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnavailable(f"{path}: cannot be read ({error})") from error
    config_maps: dict[str, Mapping[str, str]] = {}
    secrets: dict[str, Mapping[str, bytes]] = {}
    for file, text in texts.items():
        for item in _objects_in(file, text):
            name = str(_field(file, item, "metadata").get("name", ""))
            if item.get("kind") == "ConfigMap":
                config_maps[name] = _field(file, item, "data")
            elif item.get("kind") == "Secret":
                secrets[name] = _secret_values(file, name, item)
    return found, _Objects(config_maps, secrets)


def _objects_in(file: Path, text: str) -> Iterable[KubernetesObjectView]:
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            items = document.get("items") or [] if isinstance(document, dict) and document.get("kind") == "List" else [document]
            yield from (item for item in items if isinstance(item, dict))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        # The error's own text repeats the line, which may be a credential.
        raise MapUnreadable(f"{file}: is not YAML{line} ({getattr(error, 'problem', None) or 'cannot be parsed'})") from None


def _field(file: Path, item: KubernetesObjectView, name: str) -> KubernetesObjectView:
    value = item.get(name) or {}
    if not isinstance(value, dict):
        raise MapUnreadable(f"{file}: `{name}` of a {str(item.get('kind'))[:40]!r} is not a mapping")
    return value


def _secret_values(file: Path, name: str, item: KubernetesObjectView) -> Mapping[str, bytes]:
    values: dict[str, bytes] = {}
    for key, value in _field(file, item, "data").items():
        try:
            values[str(key)] = base64.b64decode(value, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise MapUnreadable(f"{file}: Secret {name}: the value of {key!r} is not base64") from None
    return values | {str(key): str(value).encode() for key, value in _field(file, item, "stringData").items()}
