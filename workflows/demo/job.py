"""`v2a demo`: a small catalog through all jobs, and a page to listen to and to read the scores on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.compute.threads import ScopedThreads
from v2a_core.config import ConfigError, load
from v2a_core.miniature.world.write import DemoCatalog, write_demo_catalog
from v2a_core.models import load_bundle
from v2a_core.report import JobReport, PageReport, read_report, write_page
from v2a_core.storage.preflight import check_storage
from workflows.cluster_runtime import connection
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.evaluate import job as evaluate
from workflows.evaluate.config import EvaluateJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob
from workflows.train import job as train
from workflows.train.config import TrainJob

T = TypeVar("T")
_CATALOG_NOTE = "catalog.json"  # in the demo's folder: the catalogs are complete, and what to give a job
_OUTPUTS = ("embeddings", "mapper", "soundtracks", "metrics")


def run(output: str, *, models: str = "miniature", address: str | None = None) -> Path:
    """Run the demo; what an earlier demo in the same folder has done is not done again.

    Args:
        output: A local folder.
        models: A bundle's name or file.
        address: A running Ray cluster; it must see the folder.

    Returns:
        The page.
    """
    if not storage.is_local(output):
        raise ConfigError(f"--output {output}: the demo writes a page to open in a browser, give a local folder")
    folder = Path(storage.canonical(output))
    check_storage([], str(folder), storage.in_use())
    bundle = load_bundle(models).resolve()
    with ScopedThreads(1) as thread:
        # Starting Ray is mostly waiting.
        made = thread.submit(_timed, lambda: _catalog(folder))
        connection.connect(address)
        catalog, seconds = made.result()
    counts = {"shown": len(_sources(catalog.shown)), "to learn from": len(_sources(catalog.lessons))}
    print(f"demo: catalog of {sum(counts.values())} sources in {seconds:.1f} s -> {folder / 'catalog'}", flush=True)
    reports = [JobReport("catalog", seconds, counts)]
    for name, job in _jobs(folder, catalog, models, timed=bool(bundle.adapter and bundle.predictor)).items():
        summary, seconds = _timed(job)
        reports.append(_job_report(name, seconds, summary))
    page = Path(write_page(str(folder / "index.html"), _report(folder, reports)))
    spent = ", ".join(f"{report.name} {report.seconds:.1f} s" for report in reports)
    note = "" if bundle.trained else " (untrained weights: the sounds mean nothing)"
    print(f"demo: done: {spent}\ndemo: open {page}{note}", flush=True)
    return page


def _jobs(folder: Path, catalog: DemoCatalog, models: str, timed: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The jobs in their order; where the bundle can, its sounds keep time with the pictures."""
    embeddings, mapper, soundtracks, metrics = (str(folder / name) for name in _OUTPUTS)
    both = [*catalog.lessons, *catalog.shown]
    embed_job = load(EmbedJob, job="demo", source="embed")
    train_job = load(TrainJob, job="train", source="small")
    timing = ["timing=gru"] if timed else []
    generate_job = load(GenerateJob, job="demo", source="generate", overrides=timing)
    evaluate_job = load(EvaluateJob, job="demo", source="evaluate")
    return {
        "embed": lambda: embed.run(both, embeddings, embed_job, models=models),
        "train": lambda: train.run(embeddings, mapper, train_job, models=models),
        "generate": lambda: generate.run(catalog.shown, soundtracks, generate_job, mapper=mapper, models=models),
        "evaluate": lambda: evaluate.run(soundtracks, metrics, evaluate_job, models=models),
    }


def _catalog(folder: Path) -> DemoCatalog:
    note = str(folder / _CATALOG_NOTE)
    if not storage.exists(note):
        storage.write_json(note, asdict(write_demo_catalog(folder)))
    return DemoCatalog(**storage.read_json(note))


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    started = time.monotonic()
    return action(), time.monotonic() - started


def _sources(catalog: list[str]) -> list[Source]:
    listed = list_sources(catalog, CatalogSettings())
    return [*listed.sources, *(source for source, _ in listed.rejects)]


def _job_report(name: str, seconds: float, summary: Mapping[str, Any]) -> JobReport:
    counts = {key.replace("_", " "): value for key, value in summary["counts"].items() if not isinstance(value, dict)}
    stages = {key: value for key, value in summary["seconds"].items() if key != "total"}
    return JobReport(name, seconds, counts, stages)


def _report(folder: Path, jobs: list[JobReport]) -> PageReport:
    """The page of the soundtracks, with what ran and the originals beside them."""
    report = read_report(str(folder / "soundtracks"), str(folder / "metrics"))
    sources = {source.uri: source for source in _sources(_catalog(folder).shown)}
    entries = [
        replace(entry, original=str(_original(folder, sources[entry.source], number)))
        for number, entry in enumerate(report.entries)
        if entry.source is not None
    ]
    return replace(report, entries=entries, jobs=jobs)


def _original(folder: Path, source: Source, number: int) -> Path:
    """The source as a file that a page can show: a shard's member is copied out."""
    if source.shard_uri is None:
        return Path(source.uri)
    path = folder / "originals" / f"{number:04d}{Path(source.name).suffix}"
    with source.fetch() as member:
        storage.write_bytes(str(path), member.read_bytes())
    return path
