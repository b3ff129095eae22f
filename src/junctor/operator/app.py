"""The operator process: builds the ports and the loop, and lets kopf watch."""

import asyncio
import itertools
import logging
import re
import signal
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kopf

from junctor.api.configuration import OperatorConfiguration
from junctor.api.names import GROUP
from junctor.kube.client import KubernetesApi, load_configuration
from junctor.net.backoff import Backoff
from junctor.operator.cluster import KubernetesCluster
from junctor.operator.handlers import register_gateways, register_inputs, select
from junctor.operator.map_objects import ConfigMapObjects
from junctor.operator.observer import Observer
from junctor.operator.signal import signals
from junctor.operator.status_sink import KubernetesStatusSink
from junctor.process import freeze_live_objects
from junctor.reconcile.ports import PortError
from junctor.reconcile.reconciler import Reconciler
from junctor.reconcile.snapshot import Snapshot
from junctor.registry.connection import HTTPRegistries

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A pass that takes longer is stuck, and the liveness endpoint says so.
_STUCK_SECONDS = 300.0
#: Log every 100th consecutive failure of one request.
_LOGGED_FAILURE = 100
#: Short at first, so that the end of an outage is noticed soon.
_RETRIES = Backoff(first=0.1, last=3.0)


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """The options of `junctor operator`.

    namespaces: empty means all. health_port: 0 means no liveness endpoint. allow_loopback: whether registries may be on this machine.
    """

    configuration: OperatorConfiguration
    kubeconfig: Path | None = None
    namespaces: tuple[str, ...] = ()
    health_host: str = "0.0.0.0"  # noqa: S104 - the kubelet probes the pod's address
    health_port: int = 8080
    allow_loopback: bool = False


class Backoffs:
    """Pauses between attempts of kopf's own requests, for ever: an operator that waits beats one that restarts.

    An object that kopf can iterate again for each request.
    """

    def __iter__(self) -> Iterator[float]:
        return (_RETRIES.pause(failures) for failures in itertools.count(1))


async def run_operator(settings: OperatorSettings, *, stop: asyncio.Event | None = None) -> None:
    """Run until SIGTERM, SIGINT or `stop`. Raises what ended the loop, CredentialsError, or Superseded."""
    configuration = settings.configuration
    api = await KubernetesApi.connect(settings.kubeconfig)
    gateway_signals = signals(configuration)
    try:
        maps = {gateway.name: ConfigMapObjects(api, gateway) for gateway in configuration.gateways}
        stop = stop or asyncio.Event()
        key = await _unless_stopped(_installation_key(maps[configuration.gateways[0].name]), stop)
        if key is None:
            return
        for objects in maps.values():
            objects.use_key(key)
        snapshot = Snapshot(configuration, key)
        cluster = KubernetesCluster(api, configuration, snapshot, settings.namespaces)
        network = configuration.network_policy.policy()
        registries = HTTPRegistries(network.with_loopback() if settings.allow_loopback else network)
        reconciler = Reconciler(configuration, snapshot, cluster, maps, gateway_signals, KubernetesStatusSink(api), registries)
        await _watch(settings, reconciler, stop)
    finally:
        await asyncio.gather(*(gateway_signal.close() for gateway_signal in gateway_signals.values()))
        await api.close()


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """The result of `work`, None when SIGTERM, SIGINT or `stop` comes first: kopf looks after signals only once it runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        task.cancel()
        stopping.cancel()


async def _installation_key(objects: ConfigMapObjects) -> bytes:
    """The key of the installation; waits until the API server is reachable."""
    for pause in Backoffs():
        try:
            await objects.installation("")
            return await objects.installation_key()
        except PortError as error:
            logger.error("waiting for the API server: %s", error)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable: the pauses never end")


async def _watch(settings: OperatorSettings, reconciler: Reconciler, stop: asyncio.Event) -> None:
    """Let kopf watch while the loop runs; each ends the other. Raises what ended the loop.

    kopf watches all its kinds in the same namespaces, so two of it run: one for what users declare, one for what is with the gateways.
    """
    inputs, gateways = kopf.OperatorRegistry(), kopf.OperatorRegistry()
    everywhere = not settings.namespaces
    gateway_namespaces = {gateway.namespace for gateway in settings.configuration.gateways}
    register_inputs(inputs, settings.configuration, watch_definitions=everywhere)
    register_gateways(gateways, watch_secrets=not everywhere and not gateway_namespaces <= set(settings.namespaces))
    for registry in (inputs, gateways):
        kopf.on.login(registry=registry, id="login")(_login(settings.kubeconfig))
    tasks = _run_beside_kopf(inputs, reconciler, stop)
    memo = Observer(reconciler, settings.configuration, frozenset(settings.namespaces))
    others = asyncio.all_tasks()
    watching = [
        *await kopf.spawn_tasks(
            registry=inputs,
            settings=_kopf_settings(everywhere),
            memo=memo,
            standalone=True,
            clusterwide=everywhere,
            namespaces=sorted(settings.namespaces),
            liveness_endpoint=f"http://{settings.health_host}:{settings.health_port}/healthz" if settings.health_port else None,
            stop_flag=stop,
        ),
        *await kopf.spawn_tasks(
            registry=gateways,
            settings=_kopf_settings(False),
            memo=memo,
            standalone=True,
            namespaces=sorted(gateway_namespaces),
            stop_flag=stop,
        ),
    ]
    # Run as one: each `kopf.operator` would take the other's tasks for its own at its end, and wait 5 s for them.
    await kopf.run_tasks(watching, ignored=others)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise _cause(error)


def _login(kubeconfig: Path | None) -> Callable[..., Coroutine[Any, Any, kopf.ConnectionInfo]]:
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection(kubeconfig)

    return login


def _run_beside_kopf(registry: kopf.OperatorRegistry, reconciler: Reconciler, stop: asyncio.Event) -> list[asyncio.Task[None]]:
    """Register what kopf calls at its start, its end and for its probe; returns the list that holds the loop's task once it runs."""
    tasks: list[asyncio.Task[None]] = []

    @kopf.on.startup(registry=registry, id="start")
    async def start(**_: Any) -> None:
        # The objects of the libraries live as long as the process: each look at them would stop the loop for 60 ms.
        freeze_live_objects()
        task = asyncio.create_task(reconciler.run(), name="reconciler")
        task.add_done_callback(lambda _: stop.set())
        tasks.append(task)

    @kopf.on.cleanup(registry=registry, id="end")
    async def end(**_: Any) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @kopf.on.probe(registry=registry, id="seconds_since_pass")
    async def seconds_since_pass(**_: Any) -> float | None:
        if reconciler.seconds_in_pass > _STUCK_SECONDS:
            raise kopf.PermanentError(f"a pass has been going on for {reconciler.seconds_in_pass:.0f} s")
        return reconciler.seconds_since_pass

    return tasks


def _cause(error: BaseException) -> BaseException:
    """The error that ended the loop, without the groups that task groups put around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _kopf_settings(everywhere: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    # kopf removes its finalizer where no handler needs it: with kopf's own name, that of another team's operator.
    settings.persistence.finalizer = f"{GROUP}/unused"
    settings.scanning.disabled = not everywhere
    settings.networking.error_backoffs = Backoffs()
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 0.5
    select(settings)
    for chatty in ("kopf.objects", "kopf.activities.probe", "aiohttp.access"):  # a line for each event and each probe otherwise
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("kopf._cogs.clients.watching").addFilter(_is_news)
    return settings


def _is_news(record: logging.LogRecord) -> bool:
    """Whether kopf says more than that the same request failed again: it tries every three seconds, for ever."""
    attempt = re.match(r"Request attempt #(\d+) failed; will retry", record.getMessage())
    return attempt is None or int(attempt[1]) % _LOGGED_FAILURE == 1


async def _connection(kubeconfig: Path | None) -> kopf.ConnectionInfo:
    """The credentials of the operator's own client, for kopf: one source for both."""
    configuration = await load_configuration(kubeconfig)
    token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        token=token.split(" ", 1)[-1].strip() if token else None,
    )
