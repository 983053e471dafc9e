"""Small actors of a training run: what the first worker has to tell, and which epoch is read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

ANSWER_S = 10.0
# News of checkpoints: the step of the newest, and when it was made, in seconds since the epoch.
CHECKPOINT_STEP, CHECKPOINTED_AT = "checkpoint_step", "checkpointed_at"


@dataclass(frozen=True)
class Board:
    """Where the first worker puts its news, for the process that waits; travels to the workers.

    Attributes:
        actor: Handle of the actor behind it; Ray gives a handle no types.
    """

    actor: Any

    @classmethod
    def start(cls) -> Board:
        """A new one."""
        return cls(ray.remote(num_cpus=0)(_News).remote())

    def put(self, news: Mapping[str, object]) -> None:
        """Add news; does not wait."""
        self.actor.put.remote(dict(news))

    def flush(self) -> None:
        """Wait until what this process has put is there: Ray keeps the order of the calls of one process."""
        with contextlib.suppress(ray.exceptions.RayError):  # nothing depends on the news
            self.news()

    def news(self) -> dict[str, object]:
        """The latest.

        Raises:
            RayError: When it does not answer.
        """
        found: dict[str, object] = ray.get(self.actor.news.remote(), timeout=ANSWER_S)
        return found


@dataclass(frozen=True)
class EpochNumber:
    """Which epoch is read: the tasks that read are planned once, for all epochs; travels to workers and tasks.

    Attributes:
        actor: Handle of the actor behind it.
    """

    actor: Any

    @classmethod
    def start(cls) -> EpochNumber:
        """A new one, before any epoch."""
        return cls(ray.remote(num_cpus=0)(_Epoch).remote())

    def begin(self, epoch: int) -> None:
        """The next time the rows are read is this epoch's."""
        ray.get(self.actor.begin.remote(epoch))

    def current(self) -> int:
        """The epoch that is read."""
        return int(ray.get(self.actor.current.remote()))


class _News:
    def __init__(self) -> None:
        self._news: dict[str, object] = {}

    def put(self, news: dict[str, object]) -> None:
        self._news = {**self._news, **news}

    def news(self) -> dict[str, object]:
        return self._news


class _Epoch:
    def __init__(self) -> None:
        self._epoch = 0

    def begin(self, epoch: int) -> None:
        self._epoch = epoch

    def current(self) -> int:
        return self._epoch
