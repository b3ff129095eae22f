"""What the kubelet does for a gateway's pod of the chart, for a process of a test: its files, and its arguments."""

import base64
import secrets
import shutil
from pathlib import Path

from tests.cluster.api import Api, Object

_MOUNTED_AT = "/etc/junctor"


def mount_files(api: Api, deployment: Object, directory: Path) -> None:
    """Write what the pod has at /etc/junctor, now, into `directory`; called again, it takes the place of what was there, at once.

    As the kubelet does it, the files are links through `..data`, and that link is what is replaced.
    """
    written = directory / f"..{secrets.token_hex(4)}"
    written.mkdir(parents=True)
    for path, value in _files(api, deployment).items():
        file = written / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value)
    data, link = directory / "..data", directory / "..new"
    before = data.resolve() if data.is_symlink() else None
    link.symlink_to(written.name)
    link.rename(data)
    for each in written.iterdir():
        if not (visible := directory / each.name).is_symlink():
            visible.symlink_to(Path("..data") / each.name)
    if before is not None:
        shutil.rmtree(before)


def arguments(deployment: Object, directory: Path, address: str) -> list[str]:
    """The pod's arguments, with its files in `directory` and its address instead of all addresses."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return [option.replace(_MOUNTED_AT, str(directory)).replace("0.0.0.0", address) for option in container["args"]]


def _files(api: Api, deployment: Object) -> dict[str, bytes]:
    """Contents by path below the mount."""
    pod, namespace = deployment["spec"]["template"]["spec"], deployment["metadata"]["namespace"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount == {"name": pod["volumes"][0]["name"], "mountPath": _MOUNTED_AT, "readOnly": True}, "a subPath would never change"
    found: dict[str, bytes] = {}
    for source in pod["volumes"][0]["projected"]["sources"]:
        if "configMap" in source:
            data = api.get("v1/ConfigMap", source["configMap"]["name"], namespace)["data"]
            found |= {key: value.encode() for key, value in data.items()}
        else:
            data = api.get("v1/Secret", source["secret"]["name"], namespace)["data"]
            found |= {item["path"]: base64.b64decode(data[item["key"]]) for item in source["secret"]["items"]}
    return found
