"""Which nodes to take: the cheapest that meet a deadline, or the fastest that keep to a budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from v2a_core.config import ConfigError
from workflows.costing.config import ClusterFile
from workflows.costing.forecast import Forecast, Task, forecast

MOST_TRIED = 4000  # mixes: a second or two
_SMALL = 40  # nodes of a pool up to which each number is tried


@dataclass(frozen=True)
class Wish:
    """What the mix is chosen by.

    Attributes:
        deadline_s: It has to be done by then; None: there is no hurry.
        budget: It may cost so much; None: whatever it costs.
    """

    deadline_s: float | None = None
    budget: float | None = None

    def is_met(self, made: Forecast) -> bool:
        """Whether a forecast keeps to it."""
        in_time = self.deadline_s is None or made.seconds <= self.deadline_s
        return in_time and (self.budget is None or made.money.total <= self.budget)

    def order(self, made: Forecast) -> tuple[float, float]:
        """The smaller, the better: with a budget alone the time decides, else the money."""
        pair = (made.money.total, made.seconds)
        return pair[::-1] if self.budget is not None and self.deadline_s is None else pair


@dataclass(frozen=True)
class Mix:
    """What was found.

    Attributes:
        best: What is met best; None: no mix meets the wish.
        fastest: Of all mixes, whatever they cost.
        cheapest: Of all mixes, however long they take.
        tried: How many there were.
    """

    best: Forecast | None
    fastest: Forecast
    cheapest: Forecast
    tried: int


def choose(task: Task, cluster: ClusterFile, wish: Wish) -> Mix:
    """The best mix of nodes within the pools' limits: a grid, then its neighbourhood, node by node.

    Raises:
        ConfigError: When the job runs on none of them.
    """
    tried: dict[tuple[int, ...], Forecast] = {}
    problem: ConfigError | None = None
    for counts in _grid(cluster):
        try:
            tried[counts] = _forecast(task, cluster, counts)
        except ConfigError as error:
            problem = error
    if not tried:
        raise problem or ConfigError("no mix of these pools has a node")
    met = [counts for counts, made in tried.items() if wish.is_met(made)]
    best = min(met, key=lambda counts: wish.order(tried[counts]), default=None)
    if best is not None:
        best = _descend(task, cluster, wish, best, tried)
    return Mix(
        tried[best] if best is not None else None,
        min(tried.values(), key=lambda made: (made.seconds, made.money.total)),
        min(tried.values(), key=lambda made: (made.money.total, made.seconds)),
        len(tried),
    )


def _descend(
    task: Task, cluster: ClusterFile, wish: Wish, counts: tuple[int, ...], tried: dict[tuple[int, ...], Forecast]
) -> tuple[int, ...]:
    """The best in the neighbourhood, step by step: the grid is coarse where a pool is large."""
    while True:
        for near in _near(cluster, counts):
            if near not in tried:
                try:
                    tried[near] = _forecast(task, cluster, near)
                except ConfigError:
                    continue
        around = [near for near in (counts, *_near(cluster, counts)) if near in tried and wish.is_met(tried[near])]
        better = min(around, key=lambda near: wish.order(tried[near]))
        if wish.order(tried[better]) >= wish.order(tried[counts]):
            return counts
        counts = better


def _forecast(task: Task, cluster: ClusterFile, counts: tuple[int, ...]) -> Forecast:
    return forecast(task, cluster, _named(cluster, counts))


def _named(cluster: ClusterFile, counts: tuple[int, ...]) -> Mapping[str, int]:
    return dict(zip(cluster.pools, counts, strict=True))


def _grid(cluster: ClusterFile) -> Iterator[tuple[int, ...]]:
    """Numbers of nodes to try: all where that is few, else ever larger steps, both ends included."""
    pools = list(cluster.pools.values())
    most = max(3, math.floor(MOST_TRIED ** (1 / len(pools))))
    for counts in itertools.product(*(_steps(pool.least, pool.most, most) for pool in pools)):
        if any(counts):
            yield counts


def _steps(least: int, most: int, number: int) -> list[int]:
    if most - least < max(number, _SMALL if number >= _SMALL else 0):
        return list(range(least, most + 1))
    ratio = ((most + 1) / max(1, least)) ** (1 / (number - 2))
    steps = {least, most, *(min(most, round(max(1, least) * ratio**step)) for step in range(number - 1))}
    return sorted(step for step in steps if least <= step <= most)


def _near(cluster: ClusterFile, counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """One node more or less of a pool, or one more of one and one less of another."""
    pools = list(cluster.pools.values())
    moves = [move for move in itertools.product((-1, 0, 1), repeat=len(pools)) if 0 < sum(map(abs, move)) <= 2]
    near = [tuple(count + step for count, step in zip(counts, move, strict=True)) for move in moves]
    return [
        item
        for item in near
        if any(item) and all(pool.least <= count <= pool.most for pool, count in zip(pools, item, strict=True))
    ]
