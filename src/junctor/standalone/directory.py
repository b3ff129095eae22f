"""Follows a directory of manifests and makes the object store hold what it says."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchfiles import awatch

from junctor.standalone.files import FileProblem, FoundObject, Look, ManifestFiles
from junctor.standalone.objects import Key, ObjectStore, Refused

logger = logging.getLogger(__name__)

#: Seconds between looks without a notification: targets of symbolic links and network file systems send none.
POLL_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.5
#: Milliseconds: a burst of notifications ends after _STEP without a new one, or after _DEBOUNCE.
_STEP: Final = 20
_DEBOUNCE: Final = 200


class ManifestDirectory:
    """The directory's objects in `store`. problems: what is wrong with the files now."""

    def __init__(self, root: Path, store: ObjectStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.problems: tuple[FileProblem, ...] = ()
        self._store = store
        self._files = ManifestFiles(root)
        self._clock = clock
        self._applied: dict[Key, FoundObject] = {}
        self._notes: set[str] = set()
        self._noticed = asyncio.Event()

    async def scan(self) -> float | None:
        """Look at all files once and apply what changed. Gives the seconds until it is worth another look, None when nothing waits."""
        look = await asyncio.to_thread(self._files.look, self._clock())
        problems = list(look.problems)
        problems += [problem for state in look.files.values() for problem in state.problems]
        wanted, doubled = _merged(look)
        problems += doubled
        problems += self._apply(wanted)
        self._report(look, tuple(sorted(set(problems), key=lambda problem: (problem.file, problem.line or 0, problem.message))))
        return look.again

    def _apply(self, wanted: dict[Key, FoundObject]) -> list[FileProblem]:
        """Make the store hold `wanted`; gives what it refused."""
        problems: list[FileProblem] = []
        for key in sorted(self._applied.keys() - wanted.keys()):
            self._store.delete(key)
            del self._applied[key]
        for key, found in wanted.items():
            applied = self._applied.get(key)
            if applied is not None and applied.body is found.body:
                continue
            try:
                self._store.apply(key, found.body, found.created)
            except Refused as refusal:
                problems.append(FileProblem(found.file, f"{key}: {refusal}; the last good version stays in use", found.line))
            else:
                self._applied[key] = found
        return problems

    async def run(self) -> None:
        """Scan at once and after every change, until cancelled."""
        while True:
            identity = _identity(self.root)
            watching = asyncio.create_task(self._watch(), name="watch manifests") if identity else None
            await asyncio.sleep(0)  # the watch is set up before the first look, so that nothing is missed in between
            try:
                while True:
                    self._noticed.clear()
                    again = await self.scan()
                    await self._wait(again, identity is not None)
                    if identity is None or identity != _identity(self.root) or (watching and watching.done()):
                        break  # the directory is another one, or there is none, or nobody watches
            finally:
                if watching is not None:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)

    async def _wait(self, again: float | None, watched: bool) -> None:
        pause = POLL_SECONDS if watched else _RETRY_SECONDS
        try:
            await asyncio.wait_for(self._noticed.wait(), pause if again is None else min(pause, again))
        except TimeoutError:
            return

    async def _watch(self) -> None:
        try:
            async for _ in awatch(self.root, step=_STEP, debounce=_DEBOUNCE, watch_filter=None):
                self._noticed.set()
        except (OSError, RuntimeError) as error:
            # The directory vanished, or the system gives no more watches: polling goes on.
            logger.debug("%s is not watched: %s", self.root, error)
            await asyncio.sleep(POLL_SECONDS)

    def _report(self, look: Look, problems: tuple[FileProblem, ...]) -> None:
        """Log what is new, once, and what is over."""
        known = set(self.problems)
        for problem in problems:
            if problem not in known:
                logger.error("%s", problem, extra={"file": problem.file})
        for file in sorted({problem.file for problem in self.problems} - {problem.file for problem in problems}):
            logger.info("%s: in order again", file, extra={"file": file})
        notes = {state.note for state in look.files.values() if state.note}
        for note in sorted(notes - self._notes):
            logger.info("%s", note)
        self._notes = notes
        self.problems = problems


def _merged(look: Look) -> tuple[dict[Key, FoundObject], list[FileProblem]]:
    """Each object once: the first file in the order of paths has it. Files that are about to go claim nothing against others."""
    wanted: dict[Key, FoundObject] = {}
    problems: list[FileProblem] = []
    for state in sorted(look.files.values(), key=lambda state: state.missing_since is not None):
        for found in state.objects:
            first = wanted.setdefault(found.key, found)
            if first is not found and state.missing_since is None:
                message = f"{found.key} is defined in {first.file}:{first.line} too, and that one is used; remove one of them"
                problems.append(FileProblem(found.file, message, found.line))
    return wanted, problems


def _identity(root: Path) -> tuple[int, int] | None:
    """Tells a directory from another one of the same path; None when there is none."""
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
