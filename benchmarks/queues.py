"""A streaming job as queues (simpy): listing, decode slots, a store bounded in bytes, GPUs, the driver, commit, losses.

Seconds are simulated ones. What a block decodes takes room in the store until a GPU has computed it; a decoder that
finds no room waits in its slot. The driver is asked for each decode task and for each batch of the models.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

HOUR_S = 3600.0
Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Setup:
    """A cluster and a run.

    Attributes:
        rows: Segments of the run.
        rows_per_block: Of a decode task.
        slots: Decode tasks at once.
        decode_s: Of a row in a slot.
        spread: Standard deviation of a row's decoding, as a share of its mean.
        gpus: Model actors.
        gpu_s: Of a row in one of them.
        batch_rows: Of a task of theirs.
        row_bytes: In the store.
        store_bytes: Of the whole cluster, as far as a stage may fill it.
        driver_s: Of the driver, for a task: it starts it and takes its result.
        commit_rows_s: Rows that a writer commits in a second.
        list_rows_s: Entries that are listed in a second; decoding waits until all are.
        requests: Of a row.
        requests_s: That the storage answers in a second.
        losses_per_h: Of a slot: how often its node is lost.
        restart_s: Until there is another.
        drivers: Drivers over disjoint ranges, each with an executor and a writer.
        start_s: Before anything.
    """

    rows: int
    rows_per_block: int
    slots: int
    decode_s: float
    gpus: int
    gpu_s: float
    batch_rows: int = 32
    spread: float = 0.0
    row_bytes: float = 0.0
    store_bytes: float = math.inf
    driver_s: float = 0.0
    commit_rows_s: float = math.inf
    list_rows_s: float = math.inf
    requests: float = 0.0
    requests_s: float = math.inf
    losses_per_h: float = 0.0
    restart_s: float = 0.0
    drivers: int = 1
    start_s: float = 0.0

    @property
    def blocks(self) -> int:
        """Decode tasks."""
        return -(-self.rows // self.rows_per_block)


@dataclass(frozen=True)
class Result:
    """What became of it.

    Attributes:
        seconds: Until all rows are committed.
        busy: For each resource, the share of its time in which it worked; what is busiest is the first limit.
        slots_used: Share of the slots' time that went into decoding, from the first begin to the last end.
        store_waits: Share of the slots' time in which they waited for room in the store.
        lost: Blocks that were begun anew.
    """

    seconds: float
    busy: dict[str, float]
    slots_used: float
    store_waits: float
    lost: int

    @property
    def first(self) -> str:
        """What is busiest."""
        return max(self.busy, key=self.busy.__getitem__)


class Simulation:
    """A run of a setup.

    Args:
        setup: What is simulated.
        seed: Of the lengths of blocks and of the losses.
    """

    def __init__(self, setup: Setup, seed: int = 0) -> None:
        self._setup, self._random = setup, random.Random(seed)
        self._env = simpy.Environment()
        self._slots = simpy.Resource(self._env, setup.slots)
        self._gpus = simpy.Resource(self._env, setup.gpus)
        # A heap: the queue of simpy's own resource with priorities is sorted anew at each request.
        self._for_drivers = simpy.PriorityStore(self._env)
        self._asked = itertools.count()
        self._writers = simpy.Resource(self._env, setup.drivers)
        self._storage = simpy.Resource(self._env, 1)
        room = setup.store_bytes if math.isfinite(setup.store_bytes) else 1e30
        self._store = simpy.Container(self._env, room, init=room)
        self._busy = dict.fromkeys(("slots", "gpus", "driver", "commit", "storage"), 0.0)
        self._waited_s, self._lost = 0.0, 0
        self._decoded_from, self._decoded_to = math.inf, 0.0

    def run(self) -> Result:
        """Simulate until the last row is committed."""
        setup = self._setup
        for _ in range(setup.drivers):
            self._env.process(self._driver())
        self._env.process(self._blocks())
        self._env.run()  # until nothing happens any more: drivers wait for ever
        whole_s = max(1e-9, self._env.now)
        counts = {
            "slots": setup.slots,
            "gpus": setup.gpus,
            "driver": setup.drivers,
            "commit": setup.drivers,
            "storage": 1,
        }
        busy = {name: spent / (whole_s * counts[name]) for name, spent in self._busy.items()}
        busy["listing"] = self._listed_s() / whole_s
        decoding_s = max(1e-9, self._decoded_to - self._decoded_from) * setup.slots
        used, waited = self._busy["slots"] / decoding_s, self._waited_s / decoding_s
        return Result(self._env.now, busy, used, waited, self._lost)

    def _listed_s(self) -> float:
        return self._setup.rows / self._setup.list_rows_s if math.isfinite(self._setup.list_rows_s) else 0.0

    def _blocks(self) -> Steps:
        setup = self._setup
        yield self._env.timeout(setup.start_s + self._listed_s())
        left = setup.rows
        while left > 0:
            rows = min(setup.rows_per_block, left)
            left -= rows
            slot = self._slots.request()
            yield slot
            self._env.process(self._decode(rows, slot))

    def _decode(self, rows: int, slot: simpy.resources.resource.Request) -> Steps:
        setup, env = self._setup, self._env
        yield from self._drive(0, setup.driver_s)
        self._decoded_from = min(self._decoded_from, env.now)
        if setup.requests:
            yield from self._use(self._storage, "storage", rows * setup.requests / setup.requests_s)
        length_s = self._length_s(rows)
        lost_after_s = self._random.expovariate(setup.losses_per_h / HOUR_S) if setup.losses_per_h else math.inf
        if lost_after_s < length_s:
            self._lost += 1
            yield env.timeout(lost_after_s + setup.restart_s)
        yield env.timeout(length_s)
        self._busy["slots"] += length_s
        waits_from = env.now
        if setup.row_bytes:
            yield self._store.get(min(rows * setup.row_bytes, self._store.capacity))
        self._waited_s += env.now - waits_from
        env.process(self._compute(rows))
        self._decoded_to = env.now
        self._slots.release(slot)

    def _length_s(self, rows: int) -> float:
        """Of a block: the sum of many rows varies less than one."""
        setup = self._setup
        return setup.decode_s * rows * max(0.05, self._random.gauss(1.0, setup.spread / math.sqrt(rows)))

    def _compute(self, rows: int) -> Steps:
        setup = self._setup
        yield from self._use(self._gpus, "gpus", rows * setup.gpu_s)
        if setup.row_bytes:
            yield self._store.put(min(rows * setup.row_bytes, self._store.capacity))
        yield from self._drive(1, setup.driver_s * -(-rows // setup.batch_rows))
        if math.isfinite(setup.commit_rows_s):
            yield from self._use(self._writers, "commit", rows / setup.commit_rows_s)

    def _drive(self, priority: int, seconds: float) -> Steps:
        """Ask a driver: Ray's loop first starts what it can (0), then takes what has come (1)."""
        done = self._env.event()
        yield self._for_drivers.put((priority, next(self._asked), seconds, done))
        yield done

    def _driver(self) -> Steps:
        while True:
            _, _, seconds, done = yield self._for_drivers.get()
            yield self._env.timeout(seconds)
            self._busy["driver"] += seconds
            done.succeed()

    def _use(self, resource: simpy.Resource, name: str, seconds: float) -> Steps:
        with resource.request() as turn:
            yield turn
            yield self._env.timeout(seconds)
            self._busy[name] += seconds


def simulate(setup: Setup, seed: int = 0) -> Result:
    """What becomes of a setup."""
    return Simulation(setup, seed).run()


def block_rows(rows: int, slots: int, decode_s: float, *, longest_s: float = 300.0, waves: float = 3.0) -> int:
    """Rows of a block by its work: at most so long, and so many blocks for each slot at least."""
    return max(1, min(int(longest_s / decode_s), int(rows / (slots * waves))))
