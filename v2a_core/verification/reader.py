"""Parts are read in a process of their own: what a damaged file does to a reader ends that process, not this one."""

from __future__ import annotations

import contextlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from v2a_core import storage
from v2a_core.compute.processes import process_pool
from v2a_core.verification.parts import PartFound, check_part

_ATTEMPTS = 2  # a process may end for lack of memory, which is no fault of a file
_LIMIT_S = 900.0  # a part is some 256 MB


class PartReader:
    """One child for many parts; another one after a crash."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> PartReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self, uri: str, job: str, identity: str) -> PartFound:
        """Check one part; see `parts.check_part`."""
        said = ""
        for _ in range(_ATTEMPTS):
            try:
                return self._child().submit(check_part, uri, job, identity).result(_LIMIT_S)
            except BrokenProcessPool:
                said = "reading it ends the process that reads it"
                self.close()
            except TimeoutError:
                said = f"it cannot be read within {_LIMIT_S:.0f} s"
                self.close(kill=True)
        return PartFound(uri.rsplit("/", 1)[-1], unusable=(said,))

    def close(self, *, kill: bool = False) -> None:
        """End the child."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=not kill, cancel_futures=True)
        if kill:
            for process in processes:
                with contextlib.suppress(OSError):
                    process.kill()

    def _child(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = process_pool(1, storage.set_process_default, (storage.in_use(),))
            # One that cannot even start would make every part look damaged.
            self._pool.submit(_ready).result()
        return self._pool


def _ready() -> None:
    """Nothing: the child runs."""
