"""The metrics of an evaluation, over all of its rows: `metrics.json` and `metrics.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.metrics import METRICS, load_metric
from v2a_core.metrics.config import MetricSettings
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import Weights, joined_columns
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.measure import Result, measure, read_rows, references_in_words, row_columns, to_markdown
from v2a_core.metrics.systems.measure import Measured, joined
from v2a_core.metrics.systems.table import not_heard_to_markdown, sets_to_markdown
from v2a_core.models import LocalBundle
from v2a_core.outputs.ledger import read_columns
from v2a_core.protocols import JSON
from v2a_core.stages.listen import heard_by, weights_of
from v2a_core.tables.schema import OK, ROWS_FOLDER
from workflows.evaluate.config import EvaluateJob

JSON_FILE, TABLE_FILE = "metrics.json", "metrics.md"
VERDICTS = "verdicts"  # where their rows lie, in the output
SYSTEM = "soundtracks"  # what an evaluation of one calls it


@dataclass(frozen=True)
class References:
    """Embeddings to compare with.

    Attributes:
        place: Folder or URI that `v2a embed` wrote.
        embeddings: float32 (512,), L2-normalised, by segment id.
    """

    place: str
    embeddings: Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Reported:
    """What `metrics.json` says of where its numbers come from.

    Attributes:
        output: Folder or URI of the evaluation.
        soundtracks: Of what was evaluated.
        models: The bundle.
        weights: Of each extractor with a folder of its own that was used.
    """

    output: str
    soundtracks: str
    models: LocalBundle
    weights: Mapping[str, Weights]


def report(
    facts: Reported, index: pa.Table, references: References | None, measured: Measured, job: EvaluateJob
) -> dict[str, JSON]:
    """Compute the metrics of these soundtracks, write and print them.

    Args:
        facts: What else the files say.
        index: The soundtracks.
        references: To compare with, instead of the originals.
        measured: Metrics of the whole set, over what networks heard, and verdicts.
        job: The configuration.

    Returns:
        Each metric as it stands in `metrics.json`, by its name.
    """
    table = _rows(facts.output, index, row_columns(job.metrics))
    found = joined(read_rows(table), measured, SYSTEM, "segment_id")
    note = "the originals, where they have sound" if job.originals else "none"
    if references is not None:
        note = references_in_words(found["segment_id"], references.embeddings)
    results, heard = measure(found, job.metrics), PROTOCOLS[job.protocol].describe()
    metrics = _told(results, provenance(facts.models, facts.weights, job), heard)
    sets, not_heard = measured.results[SYSTEM], measured.not_heard.get(SYSTEM, {})
    metrics |= {result.name: result.to_dict(job.metrics.confidence) for result in sets}
    good = pc.sum(pc.equal(table["status"], OK)).as_py() or 0
    content = {
        "soundtracks": facts.soundtracks,
        "bundle": facts.models.name,
        "references": note,
        "counts": {"soundtracks": index.num_rows, "segments": good, "rejected": table.num_rows - good},
        "confidence": job.metrics.confidence,
        "protocol": heard,
        "not_heard": not_heard,
        **({VERDICTS: measured.verdicts.removeprefix(facts.output).lstrip("/")} if measured.verdicts else {}),
        "metrics": metrics,
    }
    text = to_markdown(results, job.metrics.confidence)
    text += sets_to_markdown({"": sets}, job.metrics.confidence) if sets else ""
    write_report(facts.output, content, text + not_heard_to_markdown({"": not_heard}))
    return metrics


def write_report(output: str, content: Mapping[str, Any], text: str) -> None:
    """Write both forms of a report, and print the one for people."""
    storage.write_json(storage.join(output, JSON_FILE), content)
    storage.write_bytes(storage.join(output, TABLE_FILE), text.encode())
    print(text, flush=True)


def _told(results: Sequence[Result], made_by: Mapping[str, tuple[str, str]], heard: JSON) -> dict[str, JSON]:
    """Each metric with what it was computed from."""
    told: dict[str, JSON] = {}
    for result in results:
        extractor, sha256 = made_by[result.name]
        told[result.name] = result.to_dict() | {"extractor": extractor, "sha256": sha256, "protocol": heard}
    return told


def provenance(models: LocalBundle, weights: Mapping[str, Weights], job: EvaluateJob) -> dict[str, tuple[str, str]]:
    """Of each metric of rows the extractors whose columns it takes, and the sha256 of their weights.

    Args:
        models: The bundle.
        weights: Of each extractor with a folder of its own that was used.
        job: The configuration.
    """
    hashes = weights_of(job.extractors, models) | {name: found.sha256 for name, found in weights.items()}
    given = {
        name: {*joined_columns(name), *(item.name for item in EXTRACTORS[name].component.row_columns())}
        for name in EXTRACTORS.names()
    }
    found = {}
    for metric in METRICS.names():
        needs = {*load_metric(metric, job.metrics).needs}
        names = [heard_by(name) for name, columns in given.items() if needs & columns]
        found[metric] = (", ".join(names), ", ".join(hashes[name] for name in names if hashes.get(name)))
    return found


def read_evaluated(output: str, index: pa.Table, settings: MetricSettings) -> dict[str, Sequence[Any]]:
    """What metrics need of the good rows of these soundtracks."""
    return read_rows(_rows(output, index, row_columns(settings)))


def _rows(output: str, index: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The rows of these soundtracks among all that the evaluation has."""
    names = [*columns, "source_id"]
    table = read_columns(storage.join(output, ROWS_FOLDER), names)
    table = pa.schema([evaluated_schema().field(name) for name in names]).empty_table() if table is None else table
    return table.filter(pc.is_in(table["source_id"], value_set=index["source_id"].combine_chunks()))
