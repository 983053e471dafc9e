"""Memory of the statistics of `v2a evaluate` over more and more sounds: how little it grows with them.

Run `python benchmarks/evaluate_memory.py` (1,000 and 10,000 sounds; give other numbers as arguments). For each number
features of CNN14's size, logits, CLAP's embeddings and the other columns of evaluated rows are written as the job
writes them; then a process of its own computes every metric that they allow, and tells its peak.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from peak import peak_mb

from v2a_core.config import load
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.extractors.network import network
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.measure import read_rows, row_columns
from v2a_core.metrics.systems.clap_sets import EvaluatedRows
from v2a_core.metrics.systems.features import Member
from v2a_core.metrics.systems.measure import Folders, Sets, measure_sets
from v2a_core.metrics.systems.row_metrics import row_results
from v2a_core.outputs.ledger import read_columns
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.tables import arrays, features
from v2a_core.tables.schema import OK
from workflows.evaluate.config import EvaluateJob

NUMBERS = (1000, 10_000)
NETWORK = "cnn14-16k"
BLOCK = 500


def main() -> None:
    """Print seconds and peaks."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_measure(Path(sys.argv[2]), int(sys.argv[3]))))
        return
    print("| sounds | start MB | metrics of sets MB | and of rows MB | s |\n|---:|---:|---:|---:|---:|")
    for number in [int(argument) for argument in sys.argv[1:]] or NUMBERS:
        with tempfile.TemporaryDirectory(prefix="v2a-memory-") as folder:
            _write(Path(folder), number)
            command = [sys.executable, __file__, "--child", folder, str(number)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            cells = " | ".join(f"{found[name]:.0f}" for name in ("start", "sets", "rows", "s"))
            print(f"| {number:,} | {cells} |", flush=True)


def _measure(folder: Path, number: int) -> dict[str, float]:
    """Peaks in MB after each step."""
    job, started = load(EvaluateJob, job="evaluate", overrides=["metrics.resamples=100"]), time.perf_counter()
    found = {"start": peak_mb()}
    ids = [f"sound{row:07d}" for row in range(number)]
    members = {key: [Member(key, key)] for key in ids}
    weights = Weights(NETWORK, "", "0" * 64)
    rows = EvaluatedRows(str(folder / "evaluated" / "rows"), pa.array(ids))
    places = (str(folder / name / "rows") for name in ("made", "references"))
    sets = Sets({"one": members}, members, None, "silence", {NETWORK: Folders(weights, *places)}, ({"one": rows}, ""))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        measured = measure_sets(sets, PROTOCOLS["paper"], job.sets, Path(scratch)).results["one"]
    known = {result.name for result in measured if result.estimate}
    assert {"clap_frechet", "fd_cnn14_16k", "kad_cnn14_16k", "kl_cnn14_16k", "is_cnn14_16k"} <= known, known
    found["sets"] = peak_mb()
    table = read_columns(str(folder / "evaluated" / "rows"), row_columns(job.metrics))
    made_by = dict.fromkeys(EvaluateJob.model_fields, ("", ""))
    names = [name for name, _ in _metrics(job)]
    row_results(read_rows(table), made_by | dict.fromkeys(names, ("", "")), PROTOCOLS["paper"], job.metrics)
    return found | {"rows": peak_mb(), "s": time.perf_counter() - started}


def _metrics(job: EvaluateJob) -> Iterator[tuple[str, object]]:
    from v2a_core.metrics import METRICS, load_metric

    return ((name, load_metric(name, job.metrics)) for name in METRICS.names())


def _write(folder: Path, number: int) -> None:
    schema = features.feature_schema(network(NETWORK).columns)
    for name in ("made", "references"):
        _write_rows(folder / name / "rows", schema, number, _heard)
    _write_rows(folder / "evaluated" / "rows", evaluated_schema(), number, _evaluated)


def _write_rows(
    folder: Path, schema: pa.Schema, number: int, columns: Callable[[int, np.random.Generator], dict[str, object]]
) -> None:
    writer = PartWriter(str(folder), schema, id_column="segment_id", seen=set(), settings=PartSettings(), metadata={})
    random = np.random.default_rng(len(folder.parts[-2]))
    for start in range(0, number, BLOCK):
        count = min(BLOCK, number - start)
        ids = [f"sound{row:07d}" for row in range(start, start + count)]
        about = dict.fromkeys(("segment_id", "source_id", "source_key", "source_name", "source_uri", "content"), ids)
        same = {"kind": "video", "status": OK, "segment_index": 0, "segment_count": 1, "silent": False}
        values = about | {name: [value] * count for name, value in same.items()} | columns(count, random)
        found = [
            pa.array(values[field.name], field.type) if field.name in values else pa.nulls(count, field.type)
            for field in schema
        ]
        writer.add(pa.Table.from_arrays(found, schema=schema))
    writer.flush()


def _heard(count: int, random: np.random.Generator) -> dict[str, object]:
    embedding, logits = (random.standard_normal((count, size), dtype=np.float32) for size in (2048, 527))
    return {"embedding": arrays.vectors(list(embedding), 2048), "logits": arrays.vectors(list(logits), 527)}


def _evaluated(count: int, random: np.random.Generator) -> dict[str, object]:
    vectors = random.standard_normal((2, count, 512), dtype=np.float32)
    made, reference = (arrays.vectors(list(rows), 512) for rows in vectors)
    onsets = [sorted(random.uniform(0, 10, 12).tolist()) for _ in range(count)]
    numbers = ("similarity_to_condition", "similarity_to_caption", "similarity_to_reference", "level_difference")
    return {
        "clap_embedding": made,
        "reference_embedding": reference,
        "onsets_s": onsets,
        "reference_onsets_s": onsets,
        "onset_confidence": [[0.9] * 12] * count,
        "judged_class": ["rain"] * count,
        "verdict": ["rain"] * count,
        **{name: random.uniform(0, 1, count).tolist() for name in numbers},
    }


if __name__ == "__main__":
    main()
