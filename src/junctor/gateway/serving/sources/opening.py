"""Open the source that `--map` names."""

from pathlib import Path
from typing import Final

from junctor.gateway.serving.sources import BadSource, MapSource

_FORMS: Final = "configmap:NAMESPACE/NAME or file:PATH[#NAME]"


async def open_source(option: str, kubeconfig: Path | None = None) -> MapSource:
    """Open the source that `--map` names; nothing is read from it yet. Raises BadSource."""
    scheme, _, rest = option.partition(":")
    # Each source is imported only when it is named: the Kubernetes client costs more memory than everything else here.
    if scheme == "configmap":
        from junctor.gateway.serving.sources.configmap import ConfigMapSource

        namespace, slash, name = rest.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise BadSource(f"{option!r}: write configmap:NAMESPACE/NAME, for example configmap:junctor/junctor-connectors")
        return await ConfigMapSource.connect(namespace, name, kubeconfig)
    if scheme == "file":
        from junctor.gateway.serving.sources.file import FileSource

        if not rest:
            raise BadSource(f"{option!r}: write file:PATH, for example file:/etc/junctor/map.yaml")
        return FileSource.parse(rest)
    raise BadSource(f"{option!r} names no place to read a connector map from; write {_FORMS}")
