"""How a job behaves on clusters that nobody has here: queues, held against a real Ray, then extrapolated.

    python benchmarks/simulate.py --output simulation            # calibrate, check, extrapolate, draw
    python benchmarks/simulate.py --output simulation --rates simulation/simulation.json   # without calibrating anew

First a chain of the program runs on the Ray of this machine, with workers that sleep (`sleeping.py`). From all but the
last number of workers the driver's seconds a task and the seconds before the first row are fitted; the last one is
predicted, and the error printed: above 20 % the script fails. On a machine with other work the driver waits for its
turn: what is extrapolated takes its processor time, if that is less, since a head node works for it alone. Then the
same model (`queues.py`) says what becomes of 100 million segments on up to 1,000 nodes, which limit comes first there,
and which setting moves it. Everything beyond the calibrated numbers of workers is extrapolated, and marked so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from queues import Result, Setup, block_rows, simulate

ERROR = 0.2
# Of the sleeping chain: a block is half a second of decoding.
ROWS, DECODE_S, MODEL_S, ACTORS, WAVES = 4, 0.25, 0.02, 2, 8
SEGMENTS = 100_000_000
NODES = (10, 100, 1000)
# A node of the extrapolation; not measured here: `v2a plan` measures them for a catalog.
PER_NODE = {"slots": 14, "gpus": 1, "store_bytes": 20e9}
NODE = {
    "decode_s": 0.36,  # 2.8 clips a second and core: benchmarks/decode.py
    "spread": 0.6,
    "gpu_s": 0.012,
    "row_bytes": 3.4e6,
    "requests": 2.0,
    "requests_s": 5500.0 * 16,  # 16 prefixes
    "list_rows_s": 7000.0,
    "commit_rows_s": 13_300.0,  # benchmarks/scale.py
    "losses_per_h": 0.05,
    "restart_s": 300.0,
    "start_s": 120.0,
}


def main() -> None:
    """Calibrate or read, extrapolate, draw, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for simulation.json and the figures")
    parser.add_argument("--workers", type=int, nargs="+", default=[50, 100, 150], help="the last one is held out")
    parser.add_argument("--segments", type=int, default=SEGMENTS, help="of the extrapolation (default: %(default)s)")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES, help="of the extrapolation")
    parser.add_argument(
        "--tolerance", type=float, default=ERROR, help="error of the held-out run (default: %(default)s)"
    )
    parser.add_argument("--rates", type=Path, help="a simulation.json whose calibration is used again")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.rates:
        calibration = json.loads(arguments.rates.read_text())["calibration"]
    else:
        calibration = calibrate(sorted(arguments.workers))
    driver_s = min(calibration["driver_s"], calibration["driver_cpu_s"])
    told = {"calibration": calibration, **extrapolate(driver_s, arguments.segments, arguments.nodes)}
    (arguments.output / "simulation.json").write_text(json.dumps(told, indent=2) + "\n")
    from simulation_figures import draw

    for path in draw(told, arguments.output):
        print(f"figure: {path}")
    sys.exit(calibration["error"] > arguments.tolerance)


def calibrate(workers: Sequence[int]) -> dict[str, Any]:
    """Run the sleeping chain, fit all but the last, predict that."""
    from sleeping import stream

    stream(workers[-1], ACTORS, 2 * workers[-1], 1, 2.0, 0.0)  # all workers are there from now on
    measured, worked = {}, {}
    for count in workers:
        made = stream(count, ACTORS, WAVES * count, ROWS, DECODE_S, MODEL_S / count)
        measured[count], worked[count] = made.seconds, made.driver_s
        told = f"{made.seconds:.2f} s, {made.driver_s * 1e3:.1f} ms of the driver's processor time a task"
        print(f"real Ray: {count} workers, {WAVES * count} blocks: {told}; load {os.getloadavg()[0]:.0f}", flush=True)
    driver_s, start_s = _fit({count: measured[count] for count in workers[:-1]})
    held = workers[-1]
    predicted = simulate(_sleeping(held, driver_s, start_s)).seconds
    error = abs(predicted / measured[held] - 1)
    print(f"fitted: {driver_s * 1e3:.1f} ms of the driver a task, {start_s:.2f} s before the first")
    print(f"held out: {held} workers: {predicted:.2f} s simulated, {measured[held]:.2f} s real, error {error:.1%}")
    return {
        "workers": list(workers),
        "measured_s": [measured[count] for count in workers],
        "simulated_s": [simulate(_sleeping(count, driver_s, start_s)).seconds for count in workers],
        "driver_s": driver_s,
        "driver_cpu_s": min(worked.values()),
        "start_s": start_s,
        "held_out": held,
        "error": error,
    }


def _sleeping(workers: int, driver_s: float, start_s: float) -> Setup:
    return Setup(
        rows=WAVES * workers * ROWS,
        rows_per_block=ROWS,
        slots=workers,
        decode_s=DECODE_S,
        gpus=ACTORS,
        gpu_s=MODEL_S / workers,
        driver_s=driver_s,
        start_s=start_s,
    )


def _fit(measured: dict[int, float]) -> tuple[float, float]:
    """The driver's seconds a task, and those before the first row, with the smallest squared relative error."""

    def error(driver_s: float, start_s: float) -> float:
        made = (simulate(_sleeping(count, driver_s, start_s)).seconds / real for count, real in measured.items())
        return sum((ratio - 1) ** 2 for ratio in made)

    found = [
        (error(driver_s, start_s), driver_s, start_s)
        for driver_s in np.geomspace(5e-4, 0.1, 40)
        for start_s in _starts(measured)
    ]
    _, driver_s, start_s = min(found)
    return float(driver_s), float(start_s)


def _starts(measured: dict[int, float]) -> Iterator[float]:
    yield from np.linspace(0.0, min(measured.values()) * 0.8, 25)


def cluster(segments: int, nodes: int, driver_s: float, **changed: Any) -> Setup:
    """A run of so many segments on so many nodes, its blocks by their work."""
    grown = {name: amount * nodes for name, amount in PER_NODE.items()}
    values: dict[str, Any] = {**NODE, **grown, "driver_s": driver_s, **changed}
    size = values.pop("rows_per_block", None) or block_rows(segments, values["slots"], values["decode_s"])
    return Setup(rows=segments, rows_per_block=size, **values)


def extrapolate(driver_s: float, segments: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Larger and larger clusters; on the largest, each setting by itself; and what blocks do to slots."""
    most = max(sizes)
    asked: list[tuple[str, object, Setup]] = [
        *(("scaled", nodes, cluster(segments, nodes, driver_s)) for nodes in sizes),
        *(("settings", name, cluster(segments, most, driver_s, **more)) for name, more in _settings(most).items()),
        *(("waves", waves, setup) for waves, setup in _waves(driver_s, segments, most)),
    ]
    named = {"scaled": "nodes", "settings": "setting", "waves": "waves"}
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in named}
    with multiprocessing.get_context("spawn").Pool() as processes:
        results = processes.imap(simulate, [setup for _, _, setup in asked])
        for (kind, name, setup), result in zip(asked, results, strict=True):
            found[kind].append({named[kind]: name, **_told(setup, result)})
            print(
                f"extrapolated: {named[kind]} {name}: {result.seconds / 3600:.2f} h, "
                f"{setup.rows / result.seconds:,.0f} rows/s, first limit {result.first} "
                f"({result.busy[result.first]:.0%} busy), slots used {result.slots_used:.1%}",
                flush=True,
            )
    return {"segments": segments, "nodes": most, **found}


def _settings(nodes: int) -> dict[str, dict[str, Any]]:
    """What could move the limits of a large cluster: one change, then others upon the first three."""
    listing, batches = {"list_rows_s": NODE["list_rows_s"] * 16}, {"batch_rows": 256}
    three = {**listing, **batches, "drivers": 8}
    return {
        "as it is": {},
        "listing in parallel, 16 prefixes": listing,
        "256 rows in a batch of the models": batches,
        "8 drivers on disjoint ranges": {"drivers": 8},
        "these three": three,
        "these three, no spot losses": {**three, "losses_per_h": 0.0},
        "these three, a quarter of the GPUs": {**three, "gpus": max(1, PER_NODE["gpus"] * nodes // 4)},
        "these three, half the slots": {**three, "slots": PER_NODE["slots"] * nodes // 2},
    }


def _waves(driver_s: float, segments: int, nodes: int) -> Iterator[tuple[float, Setup]]:
    """Blocks for each slot, from few to many; whatever else bounds a run is taken away."""
    few, slots = max(1, nodes // 4), PER_NODE["slots"] * max(1, nodes // 4)
    free = {"list_rows_s": math.inf, "commit_rows_s": math.inf, "gpus": slots, "losses_per_h": 0.0, "drivers": 64}
    for waves in (1.2, 1.5, 2.0, 3.0, 5.0, 10.0):
        rows = max(1, math.ceil(segments / 10 / (slots * waves)))
        yield waves, cluster(max(1, segments // 10), few, driver_s, rows_per_block=rows, **free)


def _told(setup: Setup, result: Result) -> dict[str, Any]:
    plain = {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(setup).items()}
    return {"setup": plain, **dataclasses.asdict(result), "first": result.first, "extrapolated": True}


if __name__ == "__main__":
    main()
