"""`v2a train --sweep`: several configurations in one Ray job, and one table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import ray

from v2a_core import storage
from v2a_core.config import ConfigError, Settings, build, find, read_yaml, setting
from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess
from workflows.cluster_runtime import connection
from workflows.streaming.progress import RunProgress
from workflows.train import job as train
from workflows.train.config import TrainJob
from workflows.train.summary import SweepRow
from workflows.train.sweep_table import markdown, sort_rows
from workflows.training.config import ScalingSettings, TrainingStoppedError
from workflows.training.fit import uses_gpu
from workflows.training.plan import show
from workflows.training.summary import TrainSummary

TABLE_FILE, RESULTS_FILE = "sweep.md", "sweep.json"
POLL_S = 1.0

Run: TypeAlias = "ray.ObjectRef[TrainSummary]"


class SweepFile(Settings):
    """The file of `--sweep`."""

    title: str = setting("Sweep", "heading of the table")
    sort_by: str = setting("validation_cosine", "metric of the best state that the table is sorted by")
    at_once: int = setting(0, "runs at a time (0: as many as the cluster's CPUs and GPUs allow)", ge=0)
    base: dict[str, Any] = setting({}, "settings of all runs, as in a file for --config")
    runs: dict[str, dict[str, Any]] = setting(..., "name of each run: its own settings, over those", min_length=1)


@dataclass(frozen=True)
class Sweep:
    """A sweep, its configurations checked.

    Attributes:
        file: As it was written.
        jobs: The configuration of each run.
    """

    file: SweepFile
    jobs: dict[str, TrainJob]


def load_sweep(source: str, overrides: Sequence[str] = ()) -> Sweep:
    """Read the file of a sweep: a path, or the name of one in configs/sweep/.

    Args:
        source: The file.
        overrides: `key=value` settings over those of the file, for all runs.

    Raises:
        ConfigError: When the file or the configuration of a run is wrong; names the run.
    """
    file = build(SweepFile, read_yaml(find(source, "sweep")))
    jobs = {}
    for name, own in file.runs.items():
        if "/" in name or name.startswith("."):
            raise ConfigError(f"{source}: {name!r} cannot be a run: its name is that of its folder")
        try:
            jobs[name] = build(TrainJob, merge(file.base, own), overrides)
        except ConfigError as error:
            raise ConfigError(f"{source}, run {name!r}: {error}") from None
    return Sweep(file, jobs)


def merge(base: Mapping[str, JSON], over: Mapping[str, JSON]) -> dict[str, JSON]:
    """Nested settings, those of `over` first; another `kind` replaces its whole group."""
    merged = dict(base)
    for key, value in over.items():
        mine = merged.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping) and value.get("kind") in (None, mine.get("kind")):
            merged[key] = merge(mine, value)
        else:
            merged[key] = value
    return merged


def run_sweep(
    embeddings: str,
    output: str,
    sweep: Sweep,
    *,
    beside: str | None = None,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    steal: bool = False,
) -> list[SweepRow]:
    """Train every configuration into its own folder of the output; finished ones are not trained again.

    Returns:
        A row a run, the best first; as in `sweep.json`.

    Raises:
        TrainingStoppedError: At the end, when a run failed or stopped; the others are in the table.
    """
    first = next(iter(sweep.jobs.values()))
    with storage.reach(StorageAccess.of_job(first.storage, output, first.output_storage)):
        connection.connect(address)
        if dry_run:
            plans = {
                name: train.run(
                    embeddings,
                    storage.join(output, name),
                    job,
                    beside=beside,
                    models=models,
                    limit=limit,
                    dry_run=True,
                )
                for name, job in sweep.jobs.items()
            }
            show({"job": "train", "runs": plans})
            return []
        embeddings, output = storage.canonical(embeddings), storage.canonical(output)
        asked = {"beside": beside and storage.canonical(beside), "models": models, "limit": limit, "steal": steal}

        def start(name: str) -> Run:
            # A task of its own for each: Ray Train's driver wants the main thread of a process. It only waits.
            task: Any = ray.remote(num_cpus=0, max_retries=0)(train.run)
            place, job = storage.join(output, name), sweep.jobs[name]
            run: Run = task.remote(embeddings, place, job, **asked)
            return run

        return _run_all(start, sweep, output)


def at_once(scaling: ScalingSettings) -> int:
    """How many runs of such workers the cluster has room for."""
    has = ray.cluster_resources()
    room = has.get("CPU", 1.0) // (scaling.workers * scaling.cpus_per_worker)
    if uses_gpu(scaling):
        room = min(room, has.get("GPU", 0.0) // scaling.workers)
    return max(1, int(room))


def _run_all(start: Callable[[str], Run], sweep: Sweep, output: str) -> list[SweepRow]:
    """Run all and write the table."""
    started = time.monotonic()
    rows = sort_rows(_wait_for_all(start, sweep, output), sweep.file.sort_by)
    storage.write_json(storage.join(output, RESULTS_FILE), {"sort_by": sweep.file.sort_by, "runs": rows})
    table = markdown(rows, sweep.file.title, sweep.file.sort_by)
    storage.write_bytes(storage.join(output, TABLE_FILE), table.encode())
    print(f"{table}\ntrain: {len(rows)} runs in {time.monotonic() - started:.1f} s -> {output}", flush=True)
    failed = [row["name"] for row in rows if row["best"] is None]
    if failed:
        raise TrainingStoppedError(f"{len(failed)} of {len(rows)} runs failed: {', '.join(failed)}; see {output}")
    return rows


def _wait_for_all(start: Callable[[str], Run], sweep: Sweep, output: str) -> list[SweepRow]:
    """Keep as many runs going as there is room for; a run that fails costs only itself."""
    waiting, rows = list(sweep.jobs), []
    going: dict[Run, str] = {}
    room = sweep.file.at_once or min(at_once(job.scaling) for job in sweep.jobs.values())
    with RunProgress("sweep", len(waiting), lambda: {"running": len(going)}) as bar:
        while waiting or going:
            while waiting and len(going) < room:
                name = waiting.pop(0)
                going[start(name)] = name
            done, _ = ray.wait(list(going), timeout=POLL_S)
            for reference in done:
                name = going.pop(reference)
                rows.append(_row(name, reference, storage.join(output, name)))
            bar.update(len(rows))
    return rows


def _row(name: str, reference: Run, output: str) -> SweepRow:
    row: SweepRow = {
        "name": name,
        "error": None,
        "best": None,
        "parameters": None,
        "steps": None,
        "seconds": None,
    }
    try:
        summary = ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        row["error"] = f"{type(cause).__name__}: {cause}"
        # One that got no better has a mapper nevertheless; one that diverged has none.
        if not isinstance(cause, TrainingStoppedError) or not storage.exists(storage.join(output, "summary.json")):
            return row
        summary = cast(TrainSummary, storage.read_json(storage.join(output, "summary.json")))
    return {
        **row,
        "parameters": summary["parameters"],
        "steps": summary["steps"],
        "fingerprint": summary["fingerprint"],
        "output": summary["output"],
        "best": summary["best"],
        "seconds": summary["seconds"]["total"],
    }
