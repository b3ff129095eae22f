"""From `--callers` to the `Callers` that it names."""

from pathlib import Path
from typing import Final

from junctor.gateway.auth.everybody import AllowAll
from junctor.gateway.auth.ports import Callers, CallersError

FORMS: Final = "apikeys:FILE, kubernetes or none"


async def open_callers(who: str | None, kubeconfig: Path | None = None) -> Callers:
    """The callers that `who` names; None: everybody. kubeconfig: of the gateway, to ask the API server. Raises CallersError."""
    scheme, colon, rest = (who or "none").partition(":")
    # Imported only when named: most of all the Kubernetes client costs memory.
    if scheme == "apikeys":
        from junctor.gateway.auth.api_keys import ApiKeys

        if not rest:
            raise CallersError(f"{who!r}: write apikeys:FILE, for example apikeys:/etc/junctor/keys.yaml")
        return await ApiKeys.open(Path(rest))
    if scheme == "kubernetes" and not colon:
        from junctor.gateway.auth.token_review import KubernetesCallers

        return await KubernetesCallers.connect(kubeconfig)
    if scheme == "none" and not colon:
        return AllowAll()
    raise CallersError(f"{who!r} does not say who may call; write {FORMS}")
