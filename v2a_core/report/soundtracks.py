"""From what `v2a generate` and `v2a evaluate` wrote to what a page shows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from statistics import fmean
from typing import Literal, NotRequired, TypedDict, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.config import ConfigError, Settings, build, setting
from v2a_core.generators.config import GENERATOR, AnyGeneratorSettings
from v2a_core.outputs import manifest, unfinished
from v2a_core.outputs.ledger import read_latest
from v2a_core.outputs.manifest import BundleRecord
from v2a_core.protocols import JSON, Curve
from v2a_core.report.types import BundleReport, MetricReport, ModelReport, PageEntry, PageReport, RejectReport, Verdict
from v2a_core.tables.schema import INDEX, INDEX_FOLDER, OK, ROWS_FOLDER
from v2a_core.timing.envelope import onset_places
from v2a_core.version import __version__

_CATALOG = ("source_id", "source_uri", "source_name", "kind", "label", "caption", "split")
_REJECT = ("status", "reject_stage", "reject_type", "reject_message", "attempts")
_INDEX = (
    *_CATALOG,
    "start_s",
    "duration_s",
    "audio_path",
    "video_path",
    *_REJECT,
)  # not the conditions: they are large
_METRICS = ("source_id", "sound_id", "label", "similarity_to_condition")
_VERDICTS = ("segment_id", "verdict", "verdict_probability")
_METRICS_FILE = "metrics.json"
_PARTS = {"vision": "sees the frames", "audio": "hears the sound", "generator": "makes the sound"}


class _IndexRow(TypedDict):
    """What a page shows of a row of the index."""

    source_id: str
    source_uri: str
    source_name: str
    kind: Literal["video", "image"]
    label: str | None
    caption: str | None
    split: str | None
    start_s: float | None
    duration_s: float | None
    audio_path: str | None
    video_path: str | None
    curve: NotRequired[Sequence[Sequence[float]] | None]


class _RejectedRow(TypedDict):
    """What it shows of a rejected one."""

    source_name: str
    reject_stage: str
    reject_type: str
    reject_message: str
    attempts: int


class _Identity(TypedDict):
    """What it shows of the identity of an output of `v2a generate`."""

    generator: JSON
    mapper: str
    seed: int


class _Generator(Settings):
    generator: AnyGeneratorSettings = setting(GENERATOR, "how the generator sampled")


@dataclass(frozen=True)
class Measured:
    """What an evaluation says.

    Attributes:
        scores: Over all soundtracks: the metrics that could be measured.
        verdicts: What the judge heard, by source id; nothing for bundles without a judge.
        similarities: To the conditions, mean over the segments, by source id.
    """

    scores: list[MetricReport] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    similarities: dict[str, float] = field(default_factory=dict)


def read_report(soundtracks: str, metrics: str | None = None, limit: int | None = None) -> PageReport:
    """The page of an output of `v2a generate`, in the order of labels and names.

    Args:
        soundtracks: Folder or URI that `v2a generate` wrote.
        metrics: Folder or URI that `v2a evaluate` wrote for them.
        limit: Show the first `limit` soundtracks only.

    Raises:
        ConfigError: When there is no such output, or the metrics are of other soundtracks.
    """
    made_by = manifest.read(soundtracks, job="generate")
    columns = [*_INDEX, *(["curve"] if "timing" in made_by["identity"] else [])]
    index = read_latest(storage.join(soundtracks, INDEX_FOLDER), columns)
    table = (
        index.sort_by([("label", "ascending"), ("source_name", "ascending")])
        if index
        else INDEX.empty_table().select(_INDEX)
    )
    good = table.filter(pc.equal(table["status"], OK))
    bad = [*unfinished.read(soundtracks).to_pylist(), *table.filter(pc.not_equal(table["status"], OK)).to_pylist()]
    measured = _measured(metrics, good) if metrics else Measured()
    return PageReport(
        entries=[_entry(soundtracks, row, measured) for row in good.slice(0, limit).to_pylist()],
        rejects=[_reject(row) for row in bad[:limit]],
        rejected=len(bad),
        bundle=_bundle_report(made_by["bundle"]),
        version=__version__,
        total=good.num_rows,
        settings=_settings(cast(_Identity, made_by["identity"])),
        scores=measured.scores,
    )


def _media(soundtracks: str, path: str | None) -> str | None:
    """Where a file of a row is: paths in an index are relative to the output.

    Raises:
        ConfigError: For a path that leaves it: the page would show, or copy, files that are not of the output.
    """
    if path is None:
        return None
    if path.startswith("/") or ".." in PurePosixPath(path).parts or "://" in path:
        raise ConfigError(f"{soundtracks}: its index names {path!r}, which is not inside: no job of `v2a` writes that")
    return storage.join(soundtracks, path)


def _entry(soundtracks: str, row: _IndexRow, measured: Measured) -> PageEntry:
    return PageEntry(
        name=row["source_name"],
        kind=row["kind"],
        made_video=_media(soundtracks, row["video_path"]),
        made_audio=_media(soundtracks, row["audio_path"]),
        source=row["source_uri"],
        start_s=row["start_s"] or 0.0,
        duration_s=row["duration_s"] or 0.0,
        label=row["label"],
        caption=row["caption"],
        split=row["split"],
        verdict=measured.verdicts.get(row["source_id"]),
        similarity=measured.similarities.get(row["source_id"]),
        events=_events(row.get("curve")),
    )


def _events(curve: Sequence[Sequence[float]] | None) -> list[tuple[float, float]]:
    """What was seen to begin to sound; nothing where no curve was predicted."""
    return onset_places(Curve(*np.asarray(curve, np.float32).T)) if curve else []


def _measured(metrics: str, soundtracks: pa.Table) -> Measured:
    manifest.read(metrics, job="evaluate")
    table = read_latest(storage.join(metrics, ROWS_FOLDER), _METRICS)
    rows = table.to_pylist() if table else []
    known = set(soundtracks["source_id"].to_pylist())
    if not any(row["source_id"] in known for row in rows):
        raise ConfigError(f"--metrics {metrics} holds no row of these soundtracks: `v2a evaluate` measures them")
    similarities = defaultdict(list)
    for row in rows:
        if row["similarity_to_condition"] is not None:
            similarities[row["source_id"]].append(row["similarity_to_condition"])
    content = storage.read_json(storage.join(metrics, _METRICS_FILE))
    found, heard = content["metrics"].values(), _verdicts(metrics, content.get("verdicts", ""))
    return Measured(
        [
            MetricReport(score["title"], score["value"], score.get("low"), score.get("high"), score["better"])
            for score in found
            if "value" in score
        ],
        {
            row["source_id"]: Verdict(verdict, share, verdict == row["label"])
            for row in rows
            if row["sound_id"] in heard
            for verdict, share in [heard[row["sound_id"]]]
        },
        {source: fmean(values) for source, values in similarities.items()},
    )


def _verdicts(metrics: str, place: str) -> dict[str, tuple[str, float]]:
    """What the judge heard in each sound and how sure it is, by the sound's id.

    Args:
        metrics: Folder or URI of the evaluation.
        place: Of the judge's rows in it; empty: there is no judge.
    """
    table = read_latest(storage.join(metrics, place), _VERDICTS) if place else None
    rows = table.to_pylist() if table else []
    return {row["segment_id"]: (row["verdict"], row["verdict_probability"]) for row in rows if row["verdict"]}


def _reject(row: _RejectedRow) -> RejectReport:
    return RejectReport(
        name=row["source_name"],
        stage=row["reject_stage"],
        error_type=row["reject_type"],
        message=row["reject_message"],
        attempts=row["attempts"],
    )


def _bundle_report(bundle: BundleRecord) -> BundleReport:
    fingerprints = bundle["fingerprints"]
    models = [ModelReport(part, does, fingerprints.get(part, "")) for part, does in _PARTS.items()]
    return BundleReport(bundle["name"], bundle["trained"], models)


def _settings(identity: _Identity) -> dict[str, int | float | str]:
    """What of a run's settings is worth reading beside its sounds."""
    return {
        "mapper": identity["mapper"],
        "sampler": _summary(identity["generator"]),
        "seed": identity["seed"],
    }


def _summary(generator: JSON) -> str:
    """A few words on a generator's settings; those of a package that is not installed here speak for themselves."""
    try:
        return build(_Generator, {"generator": generator}).generator.summary
    except ConfigError:
        return json.dumps(generator)
