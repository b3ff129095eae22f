"""The forms of `--callers`: each names a way to identify callers."""

from pathlib import Path

from junctor.gateway.auth.ports import ANONYMOUS, Caller, Callers, CallersError


class AllowAll:
    """`--callers none`: lets everybody in, whatever key the request carries; OpenAI's clients always send one."""

    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        """Return the anonymous caller."""
        return ANONYMOUS

    async def close(self) -> None:
        """Do nothing: there are no connections."""


async def open_callers(option: str | None, kubeconfig: Path | None = None) -> Callers:
    """Open what `--callers` names; None: everybody may call. Raises CallersError.

    kubeconfig: the gateway's own credentials for the API server.
    """
    scheme, colon, rest = (option or "none").partition(":")
    # Imported only when named: the Kubernetes client above all costs memory.
    if scheme == "apikeys":
        from junctor.gateway.auth.api_keys import ApiKeys

        if not rest:
            raise CallersError(f"{option!r}: write apikeys:FILE, for example apikeys:/etc/junctor/keys.yaml")
        return await ApiKeys.open(Path(rest))
    if scheme == "kubernetes" and not colon:
        from junctor.gateway.auth.token_review import KubernetesCallers

        return await KubernetesCallers.connect(kubeconfig)
    if scheme == "none" and not colon:
        return AllowAll()
    raise CallersError(f"{option!r} does not say who may call; write apikeys:FILE, kubernetes or none")
