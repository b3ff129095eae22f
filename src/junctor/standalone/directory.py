"""Follows a directory of manifests and keeps the object store in step with it."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchfiles import awatch

from junctor.offline.manifests import ObjectKey
from junctor.offline.problems import Problem
from junctor.standalone.files import DirectoryScan, FoundObject, ManifestFiles
from junctor.standalone.objects import ObjectRefused, ObjectStore

logger = logging.getLogger(__name__)

#: Seconds between scans without a notification: targets of symbolic links and network file systems send none.
POLL_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.5
#: Milliseconds: a burst of notifications ends after _STEP without a new one, or after _DEBOUNCE.
_STEP: Final = 20
_DEBOUNCE: Final = 200


class ManifestDirectory:
    """Applies the directory's objects to `store`. problems: what is wrong with the files now."""

    def __init__(self, root: Path, store: ObjectStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.problems: tuple[Problem, ...] = ()
        self._store = store
        self._files = ManifestFiles(root)
        self._clock = clock
        self._applied: dict[ObjectKey, FoundObject] = {}
        self._notes: set[str] = set()
        self._noticed = asyncio.Event()

    async def scan(self) -> float | None:
        """Scan all files once and apply what changed. Returns the seconds until the next scan is due, or None."""
        scan = await asyncio.to_thread(self._files.scan, self._clock())
        problems = list(scan.problems)
        problems += [problem for state in scan.files.values() for problem in state.problems]
        desired, duplicates = _merge(scan)
        problems += duplicates
        problems += self._apply(desired)
        self._report(scan, tuple(sorted(set(problems), key=lambda problem: (problem.file, problem.line or 0, problem.message))))
        return scan.again

    def _apply(self, desired: dict[ObjectKey, FoundObject]) -> list[Problem]:
        """Make the store hold `desired`. Returns what the store refused."""
        problems: list[Problem] = []
        for key in sorted(self._applied.keys() - desired.keys()):
            self._store.delete(key)
            del self._applied[key]
        for key, found in desired.items():
            applied = self._applied.get(key)
            if applied is not None and applied.body is found.body:
                continue
            try:
                self._store.apply(key, found.body, found.created)
            except ObjectRefused as refusal:
                problems.append(Problem(found.file, f"{key}: {refusal}; the last good version stays in use", found.line))
            else:
                self._applied[key] = found
        return problems

    async def run(self) -> None:
        """Scan now and after every change, until cancelled."""
        while True:
            identity = _identity(self.root)
            watching = asyncio.create_task(self._watch(), name="watch manifests") if identity else None
            await asyncio.sleep(0)  # the watch starts before the first scan, so that no change in between is missed
            try:
                while True:
                    self._noticed.clear()
                    again = await self.scan()
                    await self._wait(again, identity is not None)
                    if identity is None or identity != _identity(self.root) or (watching and watching.done()):
                        break  # the directory was replaced or deleted, or the watch ended
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
            # The directory vanished, or the system grants no more watches: polling continues.
            logger.debug("%s is not watched: %s", self.root, error)
            await asyncio.sleep(POLL_SECONDS)

    def _report(self, scan: DirectoryScan, problems: tuple[Problem, ...]) -> None:
        """Log each new problem and note once, and each file that is valid again."""
        known = set(self.problems)
        for problem in problems:
            if problem not in known:
                logger.error("%s", problem, extra={"file": problem.file})
        for file in sorted({problem.file for problem in self.problems} - {problem.file for problem in problems}):
            logger.info("%s: valid again", file, extra={"file": file})
        notes = {state.note for state in scan.files.values() if state.note}
        for note in sorted(notes - self._notes):
            logger.info("%s", note)
        self._notes = notes
        self.problems = problems


def _merge(scan: DirectoryScan) -> tuple[dict[ObjectKey, FoundObject], list[Problem]]:
    """Take each object from the first file in the order of paths that defines it; a missing file yields to the others."""
    desired: dict[ObjectKey, FoundObject] = {}
    problems: list[Problem] = []
    for state in sorted(scan.files.values(), key=lambda state: state.missing_since is not None):
        for found in state.objects:
            first = desired.setdefault(found.key, found)
            if first is not found and state.missing_since is None:
                message = f"{found.key} is defined in {first.file}:{first.line} too, and that one is used; remove one of them"
                problems.append(Problem(found.file, message, found.line))
    return desired, problems


def _identity(root: Path) -> tuple[int, int] | None:
    """Identify a directory, whatever its path; None when it does not exist."""
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
