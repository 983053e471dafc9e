"""`v2a train --sweep`: several configurations in one Ray job, and one table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from v2a_core import storage
from v2a_core.config import ConfigError, Settings, build, find, read_yaml, setting
from v2a_core.storage import StorageAccess
from workflows.cluster_runtime import connection
from workflows.streaming.progress import RunProgress
from workflows.train.config import ScalingSettings, TrainingStoppedError, TrainJob
from workflows.train.fit import uses_gpu

TABLE_FILE, RESULTS_FILE = "sweep.md", "sweep.json"
POLL_S = 1.0
LOWER_IS_BETTER = ("validation_loss", "validation_median_rank", "validation_frechet")
_SHOWN = ("loss", "cosine", "recall_at_1", "recall_at_10", "median_rank", "frechet", "variance_ratio")


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


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, those of `over` first; another `kind` replaces its whole group."""
    merged = dict(base)
    for key, value in over.items():
        mine = merged.get(key)
        same_kind = (
            isinstance(mine, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind")
            in (
                None,
                mine.get("kind"),
            )
        )
        merged[key] = merge(mine, value) if same_kind else value  # type: ignore[arg-type] # both are mappings
    return merged


def run_sweep(
    embeddings: str,
    output: str,
    sweep: Sweep,
    *,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    steal: bool = False,
) -> list[dict[str, Any]]:
    """Train every configuration into its own folder of the output; finished ones are not trained again.

    Returns:
        A row a run, the best first; as in `sweep.json`.

    Raises:
        TrainingStoppedError: At the end, when a run failed or stopped; the others are in the table.
    """
    from workflows.train import job as train
    from workflows.train import plan as train_plan

    first = next(iter(sweep.jobs.values()))
    with storage.reach(StorageAccess.of_job(first.storage, output, first.output_storage)):
        connection.connect(address)
        if dry_run:
            plans = {
                name: train.run(embeddings, storage.join(output, name), job, models=models, limit=limit, dry_run=True)
                for name, job in sweep.jobs.items()
            }
            train_plan.show({"job": "train", "runs": plans})
            return []
        embeddings, output = storage.canonical(embeddings), storage.canonical(output)
        started = time.monotonic()

        def start(name: str) -> Any:
            job = sweep.jobs[name]
            # A task of its own for each: Ray Train's driver wants the main thread of a process. It only waits.
            task: Any = ray.remote(num_cpus=0, max_retries=0)(train.run)
            return task.remote(embeddings, storage.join(output, name), job, models=models, limit=limit, steal=steal)

        rows = _run_all(start, sweep, output)
        rows = sort_rows(rows, sweep.file.sort_by)
        storage.write_json(storage.join(output, RESULTS_FILE), {"sort_by": sweep.file.sort_by, "runs": rows})
        table = markdown(rows, sweep.file)
        storage.write_bytes(storage.join(output, TABLE_FILE), table.encode())
        print(f"{table}\ntrain: {len(rows)} runs in {time.monotonic() - started:.1f} s -> {output}", flush=True)
        failed = [row["name"] for row in rows if row["best"] is None]
        if failed:
            raise TrainingStoppedError(f"{len(failed)} of {len(rows)} runs failed: {', '.join(failed)}; see {output}")
        return rows


def sort_rows(rows: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """The best first; runs without the metric last."""
    sign = 1 if metric in LOWER_IS_BETTER else -1

    def place(row: dict[str, Any]) -> tuple[bool, float]:
        value = (row["best"] or {}).get(metric)
        return value is None, sign * float(value or 0.0)

    return sorted(rows, key=place)


def markdown(rows: list[dict[str, Any]], file: SweepFile) -> str:
    """The table for people."""
    columns = [f"validation_{name}" for name in _SHOWN]
    heads = [f"**{name}**" if name == file.sort_by else name.removeprefix("validation_") for name in columns]
    lines = [f"# {file.title}", "", f"Best state of each run, sorted by `{file.sort_by}`.", ""]
    lines += [f"| run | parameters | {' | '.join(heads)} | steps | minutes | |", "|" + "---|" * (len(columns) + 5)]
    for row in rows:
        best = row["best"] or {}
        cells = ["" if best.get(name) is None else f"{best[name]:.4g}" for name in columns]
        size = f"{row['parameters'] / 1e6:.2f} M" if row["parameters"] else ""
        minutes = f"{row['seconds'] / 60:.1f}" if row["seconds"] else ""
        note = (row["error"] or "").splitlines()[:1]
        lines.append(f"| {row['name']} | {size} | {' | '.join(cells)} | {row['steps']} | {minutes} | {''.join(note)} |")
    return "\n".join(lines) + "\n"


def at_once(scaling: ScalingSettings) -> int:
    """How many runs of such workers the cluster has room for."""
    has = ray.cluster_resources()
    room = has.get("CPU", 1.0) // (scaling.workers * scaling.cpus_per_worker)
    if uses_gpu(scaling):
        room = min(room, has.get("GPU", 0.0) // scaling.workers)
    return max(1, int(room))


def _run_all(start: Callable[[str], Any], sweep: Sweep, output: str) -> list[dict[str, Any]]:
    """Keep as many runs going as there is room for; a run that fails costs only itself."""
    waiting, rows = list(sweep.jobs), []
    going: dict[Any, str] = {}
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


def _row(name: str, reference: Any, output: str) -> dict[str, Any]:
    row = {"name": name, "error": None, "best": None, "parameters": None, "steps": None, "seconds": None}
    try:
        summary = ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        row["error"] = f"{type(cause).__name__}: {cause}"
        # One that got no better has a mapper nevertheless; one that diverged has none.
        if not isinstance(cause, TrainingStoppedError) or not storage.exists(storage.join(output, "summary.json")):
            return row
        summary = storage.read_json(storage.join(output, "summary.json"))
    told = {key: summary[key] for key in ("parameters", "steps", "fingerprint", "output")}
    return {**row, **told, "best": summary["best"], "seconds": summary["seconds"]["total"]}
