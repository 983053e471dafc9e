"""Ends a run in which nothing moves any more, and says what it waited for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.data import Dataset
from ray.data.exceptions import ExecutionTimeoutError

from workflows.streaming.config import LimitSettings
from workflows.streaming.summary import Tally

_SHOWN = 3


class StalledError(RuntimeError):
    """Rows were due, and nothing moved for longer than `limits.stalled_s`."""


class WorkersLostError(RuntimeError):
    """Work was tried again and again, and ended the process that did it each time."""


@contextmanager
def watch(data: Dataset, tally: Tally, limits: LimitSettings) -> Iterator[None]:
    """Watch over the run of a dataset.

    Ray Data notices by itself when no stage takes in or gives out anything, its own restarts of workers included.

    Args:
        data: The chain, not running yet.
        tally: What the run expects, and what has arrived.
        limits: How long nothing may move.

    Raises:
        StalledError: When nothing has moved for `limits.stalled_s`.
        WorkersLostError: When Ray gave a task or an actor up.
    """
    data.context.execution_no_progress_timeout_s = limits.stalled_s or -1
    try:
        yield
    except ExecutionTimeoutError as error:
        stages = [line[4:] for line in str(error).splitlines() if line.startswith("  - ")]
        raise StalledError(
            f"nothing has moved for {limits.stalled_s:g} s (limits.stalled_s): {waiting_for(tally)}; at work: "
            f"{'; '.join(stages) or 'nothing'}. What was done is kept; the same command goes on from there"
        ) from None
    except (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        if "creation task" in str(error):  # it says itself what went wrong when an actor was built
            raise
        raise WorkersLostError(
            f"workers ended before their work was done, each time it was tried ({type(error).__name__}: "
            f"{_first_line(error)}); {waiting_for(tally)}. What was done is kept; the same command goes on from there. "
            "If memory is short: fewer workers (--set pools.model_actors=1, pools.decode_tasks=1)"
        ) from None


def waiting_for(tally: Tally) -> str:
    """The sources that have no row yet: how many, and the names of some."""
    left = tally.planned - tally.arrived
    names = list(itertools.islice(tally.arrivals.awaited(), _SHOWN))
    more = f" and {left - _SHOWN} more" if left > _SHOWN else ""
    which = f": {', '.join(names)}{more}" if names else ""
    return f"{left} of {tally.planned} sources are unfinished{which}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
