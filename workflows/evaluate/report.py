"""The metrics of an evaluation, over all of its rows: `metrics.json` and `metrics.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.metrics import inputs, load_metric
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.measure import Result, measure, read_rows, to_markdown, with_references
from v2a_core.metrics.systems.measure import SetResult
from v2a_core.metrics.systems.table import sets_to_markdown
from v2a_core.outputs.ledger import read_columns
from v2a_core.protocols import JSON
from v2a_core.tables.schema import OK, ROWS_FOLDER
from workflows.evaluate.config import EvaluateJob

JSON_FILE, TABLE_FILE = "metrics.json", "metrics.md"


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
        judge: Of the judge of sounds.
        bundle: Name of the models.
        audio: Fingerprint of the bundle's CLAP.
    """

    output: str
    soundtracks: str
    judge: str | None
    bundle: str
    audio: str


def report(
    facts: Reported, index: pa.Table, references: References | None, sets: Sequence[SetResult], job: EvaluateJob
) -> dict[str, JSON]:
    """Compute the metrics of these soundtracks, write and print them.

    Args:
        facts: What else the files say.
        index: The soundtracks.
        references: To compare with, instead of the originals.
        sets: Metrics of the whole set, over what networks heard.
        job: The configuration.

    Returns:
        Each metric as it stands in `metrics.json`, by its name.
    """
    table = _rows(facts.output, index)
    found = read_rows(table)
    note = "the originals, where they have sound" if job.originals else "none"
    if references is not None:
        found, note = with_references(found, dict(references.embeddings))
    results = measure(found, job.metrics)
    metrics: dict[str, JSON] = {result.name: result.to_dict() | _made_by(result, facts, job) for result in results}
    metrics |= {result.name: result.to_dict(job.metrics.confidence) for result in sets}
    good = pc.sum(pc.equal(table["status"], OK)).as_py() or 0
    content = {
        "soundtracks": facts.soundtracks,
        "judge": facts.judge,
        "bundle": facts.bundle,
        "references": note,
        "counts": {"soundtracks": index.num_rows, "segments": good, "rejected": table.num_rows - good},
        "confidence": job.metrics.confidence,
        "protocol": PROTOCOLS[job.protocol].describe(),
        "metrics": metrics,
    }
    storage.write_json(storage.join(facts.output, JSON_FILE), content)
    text = to_markdown(results, job.metrics.confidence) + sets_to_markdown({"": sets}, job.metrics.confidence)
    storage.write_bytes(storage.join(facts.output, TABLE_FILE), text.encode())
    print(text, flush=True)
    return metrics


def _made_by(result: Result, facts: Reported, job: EvaluateJob) -> dict[str, JSON]:
    """What a number of rows depends on: whose columns, which weights, what was heard."""
    needs = {*load_metric(result.name, job.metrics).needs}
    columns = {name: EXTRACTORS[name].component.row_columns() for name in EXTRACTORS.names()}
    names = [name for name, given in columns.items() if needs & {item.name for item in given}]
    hashes = {"clap": facts.audio, "judge": inputs.judge_fingerprint(facts.judge) if facts.judge else ""}
    return {
        "extractor": ", ".join(names),
        "sha256": ", ".join(hashes[name] for name in names if hashes.get(name)),
        "protocol": PROTOCOLS[job.protocol].describe(),
    }


def _rows(output: str, index: pa.Table) -> pa.Table:
    """The rows of these soundtracks among all that the evaluation has."""
    schema = evaluated_schema()
    table = read_columns(storage.join(output, ROWS_FOLDER), schema.names)
    table = schema.empty_table() if table is None else table
    return table.filter(pc.is_in(table["source_id"], value_set=index["source_id"].combine_chunks()))
