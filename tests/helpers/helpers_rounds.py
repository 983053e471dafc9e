"""A round of chaos: a job, a fault and a moment, all drawn by one number, and what became of it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import pytest
from helpers_chaos import JOBS, Steps, World
from helpers_faults import FAULTS, Scene, node_of
from helpers_nodes import Node
from helpers_ray_nodes import RayNodes

PAIRS = [(job, fault) for job in JOBS for fault, entry in FAULTS.items() if job in entry.jobs]
_END_S = 420.0  # of one attempt
_ATTEMPTS = 3
_LEASE_S = 120.0  # a dead run's output is given to another one
_AGAIN, _REFUSED = 1, 2  # exit codes: the same command goes on; the output belongs to another run


@dataclass(frozen=True)
class Round:
    """What is tried.

    Attributes:
        seed: Of everything that is drawn.
        job: Its name.
        fault: Its name.
    """

    seed: int
    job: str
    fault: str

    @classmethod
    def of(cls, seed: int) -> Round:
        """As many seeds in a row as there are pairs of job and fault try each pair once, in an order of their own."""
        cycle, place = divmod(seed, len(PAIRS))
        pairs = list(PAIRS)
        random.Random(cycle).shuffle(pairs)
        return cls(seed, *pairs[place])


@dataclass
class Outcome:
    """What became of a round.

    Attributes:
        moment: When the fault struck.
        how: What it chose.
        ends: Exit code of each attempt, and its last words.
    """

    moment: str = "never"
    how: str = ""
    ends: list[tuple[int, str]] = field(default_factory=list)

    @property
    def told(self) -> str:
        """In a few words, for the table."""
        if len(self.ends) == 1:
            return f"{self.how}; the same job went on"
        again = "; ".join(f"exit {code}: {words[:160]}" for code, words in self.ends[:-1])
        return f"{self.how}; submitted {len(self.ends)} times ({again})"


class Play:
    """The play of a round.

    Args:
        world: The bucket.
        cluster: Machines, at work.
        store: The machine of the bucket.
        chosen: What is tried.
        folder: For the job's log.
    """

    def __init__(self, world: World, cluster: RayNodes, store: Node, chosen: Round, folder: Path) -> None:
        self._world, self._cluster, self._round, self._folder = world, cluster, chosen, folder
        self._draw = random.Random(f"round {chosen.seed}")
        self._scene = Scene(cluster, store, self._draw)
        self._output = f"rounds/{chosen.seed}"
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Disturb the job, and let it, or the same command again, come to its end.

        Raises:
            AssertionError: When it does not, or its output is not that of an undisturbed run.
        """
        usual, fault = self._world.undisturbed(self._round.job), FAULTS[self._round.fault]
        process = self._start()
        self._wait_for_moment(process, usual.seconds, usual.steps)
        if process.poll() == 0:
            pytest.skip("the job had ended before the fault was due")
        self.outcome.how = fault.strike(self._scene)
        self._finish(process)
        self._world.check(self._round.job, self._output)
        return self.outcome

    @property
    def _log(self) -> Path:
        return self._folder / f"{self._round.job}-{len(self.outcome.ends)}.log"

    def _start(self) -> Popen[bytes]:
        head = self._cluster.head
        assert head is not None
        return head.start(self._world.command(self._round.job, self._output), self._log, **self._cluster.environment)

    def _wait_for_moment(self, process: Popen[bytes], seconds: float, steps: int) -> None:
        """Some at any time, most when something has been done and something has not."""
        awaits, started = FAULTS[self._round.fault].awaits, time.monotonic()
        seen = Steps(self._world, self._round.job, self._output)
        at_s = self._draw.uniform(0, seconds) if self._draw.random() < 0.25 else None
        after = self._draw.randrange(steps) if steps else 0
        while process.poll() is None:
            done, spent_s = seen.count(), time.monotonic() - started
            if awaits:
                is_due = node_of(self._cluster, awaits) is not None
            else:
                is_due = spent_s >= at_s if at_s is not None else done >= after and (after > 0 or spent_s > 1)
            self.outcome.moment = f"{spent_s:.0f} s, {done} of {steps} parts"
            if is_due:
                time.sleep(self._draw.uniform(0, 3.0 if awaits else 0.3))
                return
            time.sleep(0.1)

    def _finish(self, process: Popen[bytes]) -> None:
        """To its end; where it ends badly, the same command again, on a new cluster where the head is lost."""
        free_at = time.monotonic() + _END_S + _LEASE_S
        while (code := self._end(process)) != 0:
            ends = self.outcome.ends
            if code == _REFUSED and "belongs to a run of" in ends[-1][1] and time.monotonic() < free_at:
                ends.pop()
                time.sleep(10)
            elif self._cluster.head is None:
                self._cluster.down()
                self._cluster.up()
                free_at = time.monotonic() + _LEASE_S
            else:
                assert code == _AGAIN, f"exit code {code} asks for no other attempt: {ends}"
                assert len(ends) < _ATTEMPTS, f"no end in {_ATTEMPTS} attempts: {ends}"
            process = self._start()

    def _end(self, process: Popen[bytes]) -> int:
        deadline = time.monotonic() + _END_S
        while process.poll() is None:
            assert time.monotonic() < deadline, f"no end in {_END_S:.0f} s: {self._log.read_text()[-2000:]}"
            time.sleep(0.2)
        self.outcome.ends.append((process.returncode, self._last_words()))
        return int(process.returncode)

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""
