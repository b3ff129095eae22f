"""Signals to the gateway pods that a map was published, and what each of them acknowledged.

Each pod has its own task, so a pod that never answers delays no other.
"""

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
#: Pods whose names a signal has: a gateway takes one of at most 64 KiB, and a pod's name may have 253 characters.
_MOST_PEERS: Final = 100
#: Seconds after which a signal without an answer no longer counts as one of _PARALLEL: waiting is no load.
_PATIENCE: Final = 0.2


class _Follower:
    """One pod, how far it is, and the task that signals it. is_due: set when the pod has to be signalled."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.progress = PodProgress(pod.name)
        self.is_due = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Signaller:
    """Signals the pods of one gateway.

    on_change: called when the progress of a pod changed. on_ahead: called when a pod serves a higher sequence than the announced one, so
    that it would take the published head for an old one.
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
        self._pods: dict[str, _Follower] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._sequence = 0
        #: The highest sequence that any pod ever acknowledged: a new head has to be above it.
        self.highest = 0

    def set_pods(self, pods: Sequence[Pod]) -> bool:
        """Replace the set of ready pods; returns whether it changed. A restarted pod starts without progress."""
        present = {pod.uid: pod for pod in pods}
        changed = False
        for uid in [uid for uid, follower in self._pods.items() if present.get(uid) != follower.pod]:
            self._stop(self._pods.pop(uid))
            changed = True
        for uid, pod in present.items():
            if uid not in self._pods:
                follower = self._pods[uid] = _Follower(pod)
                follower.task = asyncio.create_task(self._follow(follower), name=f"signal {pod.name}")
                self._tasks.add(follower.task)
                follower.task.add_done_callback(self._tasks.discard)
                follower.is_due.set()
                changed = True
        return changed

    def announce(self, sequence: int) -> None:
        """Signal every pod that serves less than this published sequence."""
        self._sequence = sequence
        for follower in self._pods.values():
            if follower.progress.acknowledged is None or follower.progress.acknowledged < sequence:
                follower.is_due.set()
        if self.highest > sequence:
            self._on_ahead()

    async def survey(self, *, deadline: float) -> None:
        """Ask all pods once what they serve, when the operator starts and no head is stored; see `highest`."""
        pods = [follower.pod for follower in self._pods.values()]
        answers = await asyncio.gather(*(self._ask(pod, 0, (), deadline) for pod in pods))
        self.highest = max([self.highest, *(answer.acknowledged or 0 for answer in answers)])

    def progress(self) -> list[PodProgress]:
        """The progress of every ready pod, by name."""
        return sorted((follower.progress for follower in self._pods.values()), key=lambda progress: progress.name)

    def all_acknowledged(self, sequence: int) -> bool:
        """Whether every ready pod serves at least this sequence."""
        return all((follower.progress.acknowledged or -1) >= sequence for follower in self._pods.values())

    async def close(self) -> None:
        """Stop signalling."""
        for follower in self._pods.values():
            self._stop(follower)
        self._pods.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def _stop(follower: _Follower) -> None:
        if follower.task is not None:
            follower.task.cancel()

    async def _follow(self, follower: _Follower) -> None:
        """Signal one pod whenever it is behind, until the task is cancelled."""
        failures = 0
        while True:
            await follower.is_due.wait()
            follower.is_due.clear()
            sequence = self._sequence
            progress = await self._ask(follower.pod, sequence, self._peers(), self._deadline)
            failed = progress.acknowledged is None or progress.acknowledged < sequence
            if progress.acknowledged is None and not progress.refusal:
                # While a pod does not answer it still serves what it served before: pods never go back.
                progress = PodProgress(progress.name, follower.progress.acknowledged, progress.failure, "", follower.progress.rejected)
            self._note(follower, progress)
            failures = failures + 1 if failed else 0
            if failed:
                await self._pause(follower, self._backoff.pause(failures))
                follower.is_due.set()

    async def _pause(self, follower: _Follower, seconds: float) -> None:
        """Wait before a retry. A new sequence ends the wait, but not before the pause of a first retry is over."""
        await asyncio.sleep(min(seconds, self._backoff.first))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds - self._backoff.first)):
                await follower.is_due.wait()

    async def _ask(self, pod: Pod, sequence: int, peers: Sequence[str], deadline: float) -> PodProgress:
        async with self._slot():
            try:
                answer = await self._signal.reload(pod, sequence, peers, deadline=deadline)
            except MapRejected as rejected:
                return PodProgress(pod.name, rejected.serving, refusal=str(rejected))
            except PodUnreachable as error:
                return PodProgress(pod.name, failure=str(error))
            except Exception as error:
                logger.exception("gateway %s: the signal to pod %s failed unexpectedly", self._gateway, pod.name)
                return PodProgress(pod.name, failure=f"{type(error).__name__}: {error}"[:300])
        return PodProgress(pod.name, answer.sequence, rejected=answer.rejected)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Take one of the slots for parallel signals; it is free again after _PATIENCE seconds although the pod has not answered."""
        await self._slots.acquire()
        is_taken = True

        def release() -> None:
            nonlocal is_taken
            if is_taken:
                is_taken = False
                self._slots.release()

        patience = asyncio.get_running_loop().call_later(_PATIENCE, release)
        try:
            yield
        finally:
            patience.cancel()
            release()

    def _peers(self) -> list[str]:
        return sorted(follower.pod.name for follower in self._pods.values())[:_MOST_PEERS]

    def _note(self, follower: _Follower, progress: PodProgress) -> None:
        self.highest = max(self.highest, progress.acknowledged or 0)
        is_ahead = follower.progress.acknowledged is None and 0 < self._sequence < (progress.acknowledged or 0)
        if progress != follower.progress:
            if progress.failure and not follower.progress.failure:
                logger.warning("gateway %s: pod %s does not answer: %s", self._gateway, progress.name, progress.failure)
            if progress.refusal and progress.refusal != follower.progress.refusal:
                logger.warning("gateway %s: pod %s keeps its map: %s", self._gateway, progress.name, progress.refusal)
            follower.progress = progress
            self._on_change()
        if is_ahead:  # only a pod's first answer: one that makes numbers up must not keep the loop busy
            self._on_ahead()
