"""Tells the gateway pods that a map was published, and remembers what each acknowledged. One task for each pod: a pod that never
answers costs its own task's time and nobody else's."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from junctor.net.backoff import Backoff
from junctor.planning.readiness import PodProgress
from junctor.reconcile.ports import MapRejected, Pod, PodUnreachable, Signal

logger = logging.getLogger(__name__)

#: Seconds for one signal, connection included.
DEADLINE: Final = 3.0
RETRIES: Final = Backoff(first=0.1, last=10.0)
_PARALLEL: Final = 64
#: Seconds after which a signal that still waits for its answer no longer counts as one of _PARALLEL: waiting is no load.
_PATIENCE: Final = 0.2


class _PodSignal:
    """One pod and how far it is."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.progress = PodProgress(pod.name)
        self.wanted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Signaller:
    """Signals the pods of one gateway.

    on_change: called when what is known of a pod changed. on_ahead: called when a pod turns out to serve more than was announced, so that
    it takes the published head for an old one.
    """

    def __init__(
        self,
        gateway: str,
        signal: Signal,
        on_change: Callable[[], None],
        *,
        on_ahead: Callable[[], None] = lambda: None,
        deadline: float = DEADLINE,
        backoff: Backoff = RETRIES,
    ) -> None:
        self._backoff = backoff
        self._gateway = gateway
        self._signal = signal
        self._on_change = on_change
        self._on_ahead = on_ahead
        self._deadline = deadline
        self._pods: dict[str, _PodSignal] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._sequence = 0
        #: The highest sequence that any pod ever acknowledged: a new head has to be above it.
        self.highest = 0

    def set_pods(self, pods: Sequence[Pod]) -> bool:
        """The ready pods of now. A new incarnation of a pod starts from nothing. True when the set changed."""
        present = {pod.uid: pod for pod in pods}
        changed = False
        for uid in [uid for uid, held in self._pods.items() if present.get(uid) != held.pod]:
            self._stop(self._pods.pop(uid))
            changed = True
        for uid, pod in present.items():
            if uid not in self._pods:
                held = self._pods[uid] = _PodSignal(pod)
                held.task = asyncio.create_task(self._follow(held), name=f"signal {pod.name}")
                self._tasks.add(held.task)
                held.task.add_done_callback(self._tasks.discard)
                held.wanted.set()
                changed = True
        return changed

    def announce(self, sequence: int) -> None:
        """A head with this sequence is published: every pod that serves less is told."""
        self._sequence = sequence
        for held in self._pods.values():
            if held.progress.acknowledged is None or held.progress.acknowledged < sequence:
                held.wanted.set()
        if self.highest > sequence:
            self._on_ahead()

    async def survey(self, *, deadline: float) -> None:
        """Ask all pods once what they serve, for a start without a head; see `highest`."""
        pods = [held.pod for held in self._pods.values()]
        answers = await asyncio.gather(*(self._ask(pod, 0, (), deadline) for pod in pods))
        self.highest = max([self.highest, *(answer.acknowledged or 0 for answer in answers)])

    def progress(self) -> list[PodProgress]:
        """How far every ready pod is, by name."""
        return sorted((held.progress for held in self._pods.values()), key=lambda progress: progress.name)

    def all_acknowledged(self, sequence: int) -> bool:
        """Whether every ready pod serves at least this sequence."""
        return all((held.progress.acknowledged or -1) >= sequence for held in self._pods.values())

    async def close(self) -> None:
        """Stop signalling."""
        for held in self._pods.values():
            self._stop(held)
        self._pods.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def _stop(held: _PodSignal) -> None:
        if held.task is not None:
            held.task.cancel()

    async def _follow(self, held: _PodSignal) -> None:
        """Signal one pod whenever it is behind, until it is gone."""
        failures = 0
        while True:
            await held.wanted.wait()
            held.wanted.clear()
            sequence = self._sequence
            progress = await self._ask(held.pod, sequence, self._peers(), self._deadline)
            failed = progress.acknowledged is None or progress.acknowledged < sequence
            if progress.acknowledged is None and not progress.refusal:
                # What it served stays true while it does not answer: pods never go back.
                progress = PodProgress(progress.name, held.progress.acknowledged, progress.failure, "", held.progress.rejected)
            self._note(held, progress)
            failures = failures + 1 if failed else 0
            if failed:
                await self._pause(held, self._backoff.pause(failures))
                held.wanted.set()

    async def _pause(self, held: _PodSignal, seconds: float) -> None:
        """Wait before a retry; news end the wait, but never sooner than the first retry would come."""
        await asyncio.sleep(min(seconds, self._backoff.first))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds - self._backoff.first)):
                await held.wanted.wait()

    async def _ask(self, pod: Pod, sequence: int, peers: Sequence[str], deadline: float) -> PodProgress:
        async with self._slot():
            try:
                answer = await self._signal.reload(pod, sequence, peers, deadline=deadline)
            except MapRejected as rejected:
                return PodProgress(pod.name, rejected.serving, refusal=str(rejected))
            except PodUnreachable as error:
                return PodProgress(pod.name, failure=str(error))
            except Exception as error:
                logger.exception("gateway %s: the signal to pod %s broke", self._gateway, pod.name)
                return PodProgress(pod.name, failure=f"{type(error).__name__}: {error}"[:300])
        return PodProgress(pod.name, answer.sequence, rejected=answer.rejected)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the places for signals at the same time; a pod that makes it wait gives it back early."""
        await self._slots.acquire()
        taken = True

        def give_back() -> None:
            nonlocal taken
            if taken:
                taken = False
                self._slots.release()

        patience = asyncio.get_running_loop().call_later(_PATIENCE, give_back)
        try:
            yield
        finally:
            patience.cancel()
            give_back()

    def _peers(self) -> list[str]:
        return sorted(held.pod.name for held in self._pods.values())

    def _note(self, held: _PodSignal, progress: PodProgress) -> None:
        self.highest = max(self.highest, progress.acknowledged or 0)
        ahead = held.progress.acknowledged is None and 0 < self._sequence < (progress.acknowledged or 0)
        if progress != held.progress:
            if progress.failure and not held.progress.failure:
                logger.warning("gateway %s: pod %s does not answer: %s", self._gateway, progress.name, progress.failure)
            if progress.refusal and progress.refusal != held.progress.refusal:
                logger.warning("gateway %s: pod %s keeps its map: %s", self._gateway, progress.name, progress.refusal)
            held.progress = progress
            self._on_change()
        if ahead:  # only a pod's first answer: one that makes numbers up must not keep the loop busy
            self._on_ahead()
