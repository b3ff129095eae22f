"""Signals to gateway pods over HTTP (port `Signal`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from junctor.api.configuration import OperatorConfiguration
from junctor.reconcile.ports import Acknowledgement, MapRejected, Pod, PodUnreachable

_LONGEST_ANSWER = 4 * 1024 * 1024


class HttpSignal:
    """POST /-/reload to a pod's IP on its gateway's management port."""

    def __init__(self, management_port: int, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._port = management_port
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=512, keepalive_expiry=30.0)
        self._client = httpx.AsyncClient(transport=transport, limits=limits, trust_env=False, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def reload(self, pod: Pod, sequence: int, peers: Sequence[str], *, deadline: float) -> Acknowledgement:
        """Send the signal and read the acknowledgement."""
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        try:
            response = await self._client.post(
                f"http://{host}:{self._port}/-/reload", json={"sequence": sequence, "peers": list(peers)}, timeout=deadline
            )
        except httpx.TimeoutException as error:
            raise PodUnreachable(f"no answer from {host}:{self._port} within {deadline:g} s") from error
        except httpx.HTTPError as error:
            raise PodUnreachable(f"{host}:{self._port}: {str(error) or type(error).__name__}") from error
        body = _json(response)
        if response.status_code == 409:
            serving = body.get("serving")
            raise MapRejected(
                str(body.get("error", "no reason given"))[:500], serving.get("sequence") if isinstance(serving, Mapping) else None
            )
        if response.status_code != 200 or not isinstance(body.get("sequence"), int):
            raise PodUnreachable(f"{host}:{self._port} answered {response.status_code} and not as a gateway does")
        rejected = {str(item["id"]): str(item["reason"])[:300] for item in body.get("rejected", ()) if isinstance(item, Mapping)}
        return Acknowledgement(body["sequence"], str(body.get("revision", "")), rejected)


def _json(response: httpx.Response) -> Mapping[str, Any]:
    if len(response.content) > _LONGEST_ANSWER:
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}


def signals(configuration: OperatorConfiguration) -> dict[str, HttpSignal]:
    """One signal for each gateway."""
    return {gateway.name: HttpSignal(gateway.management_port) for gateway in configuration.gateways}
