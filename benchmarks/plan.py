"""How near `v2a plan` comes: three jobs on this machine, planned from a disjoint sample, then run.

    python benchmarks/plan.py                 # embed, generate, embed with stills; minutes
    python benchmarks/plan.py embed --rounds 3

Each job is planned for a catalog that it has not seen: the sample is of other clips of the same kind. Then it runs, and
the seconds of the whole command are held against the plan's. On a machine that has other work, a CPU is not a whole
one: before each command two busy loops measure which share of a CPU a process gets, and the plan is told that as
`cpu_speed`. The load stands in the table: with much of it, an error says more of the machine than of the plan.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from v2a_core.miniature.world import WorldSettings
from v2a_core.miniature.world.write import split_counts, write_world

GOAL = 0.2
CPUS = len(os.sched_getaffinity(0))
SPIN_S = 1.5


@dataclass(frozen=True)
class Case:
    """A job and its catalogs.

    Attributes:
        job: `embed` or `generate`.
        clips: Of the run.
        stills: Of the run.
        sampled: Clips and stills of the sample, which are others.
        options: Of the job.
    """

    job: str
    clips: int
    stills: int
    sampled: int
    options: tuple[str, ...] = ()

    def part(self, share: float) -> Case:
        """The same with fewer sources, ten clips at least: the world has them in tens."""
        clips, stills, sampled = (round(share * count) for count in (self.clips, self.stills, self.sampled))
        return Case(self.job, max(10, clips), stills, max(10, sampled), self.options)


CASES = {
    "embed": Case("embed", 200, 0, 20),
    "generate": Case("generate", 24, 0, 10, ("--mapper", "none")),
    "stills": Case("embed", 60, 200, 26),
}


def main() -> None:
    """Plan, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the sources of each job, for a quick look")
    parser.add_argument(
        "--tolerance", type=float, default=GOAL, help="error above which it fails (default: %(default)s)"
    )
    arguments = parser.parse_args()
    print(f"{'job':10} {'sources':>7} {'planned s':>9} {'real s':>7} {'real/planned':>12}  CPU share, load")
    missed = 0
    with tempfile.TemporaryDirectory(prefix="v2a-plan-") as name:
        for which in arguments.cases:
            for number in range(arguments.rounds):
                folder = Path(name, f"{which}-{number}")
                error = _hold(which, CASES[which].part(arguments.share), folder)
                missed += error > arguments.tolerance
    sys.exit(missed > 0)


def _hold(which: str, case: Case, folder: Path) -> float:
    """One job; how far the plan is from it, as a share of the plan."""
    _catalog(folder / "sample", case, case.sampled, seed=11)
    _catalog(folder / "catalog", case, case.clips + case.stills, seed=12)
    share = cpu_share()
    planned = _plan(case, folder, share)
    during = cpu_share()
    started = time.monotonic()
    _v2a(case.job, str(folder / "catalog"), "--output", str(folder / "out"), *case.options)
    real_s = time.monotonic() - started
    error = real_s / planned["best"]["seconds"]
    print(
        f"{which:10} {case.clips + case.stills:7} {planned['best']['seconds']:9.1f} {real_s:7.1f} {error:12.2f}  "
        f"{share:.2f} then {during:.2f}, {os.getloadavg()[0]:.0f}; start {planned['best']['start_s']:.1f} s, "
        f"bottleneck {planned['best']['bottleneck']}",
        flush=True,
    )
    return abs(error - 1)


def _plan(case: Case, folder: Path, share: float) -> dict[str, dict[str, float]]:
    cluster = folder / "here.yaml"
    cluster.write_text(f"pools: {{here: {{count: 1, cpus: {CPUS}, price_per_hour: 0, cpu_speed: {share:.3f}}}}}\n")
    sources = case.clips + case.stills
    told = _v2a(
        "plan",
        str(folder / "sample"),
        *("--cluster", str(cluster), "--job", case.job, "--json"),
        *("--sources", str(sources), "--sample", str(case.sampled), *case.options),
    )
    planned: dict[str, dict[str, float]] = json.loads(told)
    return planned


def _v2a(*words: str) -> str:
    command = [sys.executable, "-m", "workflows.cli", *words, "--models", "miniature"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _catalog(folder: Path, case: Case, count: int, seed: int) -> None:
    """Clips of the miniature world, and pictures in the same proportion as in the whole run."""
    stills = round(count * case.stills / (case.clips + case.stills))
    write_world(str(folder / "world"), split_counts(count - stills), WorldSettings(seed=seed))
    noise = np.random.default_rng(seed)
    (folder / "stills").mkdir()
    for index in range(stills):
        pixels = np.kron(noise.integers(0, 255, (24, 32, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
        Image.fromarray(pixels).save(folder / "stills" / f"{index:04d}.png")


def cpu_share() -> float:
    """The share of a CPU that each of as many busy processes as there are CPUs gets."""
    with multiprocessing.get_context("spawn").Pool(CPUS) as pool:
        return float(np.mean(pool.map(_spin, [SPIN_S] * CPUS, chunksize=1)))


def _spin(seconds: float) -> float:
    started, began = time.monotonic(), time.process_time()
    while time.monotonic() - started < seconds:
        pass
    return (time.process_time() - began) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
