"""Memory of the statistics of `v2a evaluate` over more and more sounds: how little it grows with them.

Run `python benchmarks/evaluate_memory.py` (1,000 and 10,000 sounds; give other numbers as arguments). For each number
features of CNN14's size, logits, CLAP's embeddings and the other columns of evaluated rows are written as the job
writes them; then a process of its own computes every metric that they allow, and tells its peak. `--network vggish`
takes another network's features: its covariances are small, so what sounds themselves take is seen, and in a minute.

`--job` runs `v2a evaluate --system` with the miniature models over so many made sounds and as many references, short
ones, and tells the peak of the process that drives it, Ray's own processes and actors not among it.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from peak import peak_mb

from v2a_core.config import load
from v2a_core.metrics.extractors.clap import CLAP, Clap
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.extractors.network import network
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.measure import read_rows, row_columns
from v2a_core.metrics.systems.clap_sets import ClapSounds
from v2a_core.metrics.systems.features import Folders, Member
from v2a_core.metrics.systems.judged import Judged
from v2a_core.metrics.systems.measure import Sets, joined, measure_sets
from v2a_core.metrics.systems.row_metrics import row_results
from v2a_core.outputs.ledger import read_columns
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.tables import arrays, features
from v2a_core.tables.schema import OK
from workflows.evaluate.config import EvaluateJob

NUMBERS = (1000, 10_000)
# What is computed of each network's features at least.
NETWORKS = {
    "cnn14-16k": {"clap_frechet", "fd_cnn14_16k", "kad_cnn14_16k", "kl_cnn14_16k", "is_cnn14_16k"},
    "vggish": {"clap_frechet", "fad_vggish"},
}
BLOCK, KINDS = 500, ("made", "references")
COLUMNS = {"start": "start MB", "sets": "metrics of sets MB", "rows": "and of rows MB", "s": "s"}
JOB_COLUMNS = {"start": "start MB", "driver": "driver MB", "s": "s"}
SHORT, RATE = 4000, 16_000  # samples of a sound of `--job`, and their rate in Hz


def main() -> None:
    """Print seconds and peaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sounds", nargs="*", type=int)
    parser.add_argument("--network", choices=NETWORKS, default="cnn14-16k")
    parser.add_argument("--job", action="store_true", help="the whole job, and the peak of its driver")
    parser.add_argument("--child", type=Path, help="measure in this process; how it is started")
    arguments = parser.parse_args()
    if arguments.child:
        (number,) = arguments.sounds
        found = _drive(arguments.child) if arguments.job else _measure(arguments.child, number, arguments.network)
        print(json.dumps(found))
        return
    columns = JOB_COLUMNS if arguments.job else COLUMNS
    print(f"| sounds | {' | '.join(columns.values())} |\n|---:|{'---:|' * len(columns)}")
    for number in arguments.sounds or NUMBERS:
        with tempfile.TemporaryDirectory(prefix="v2a-memory-") as folder:
            if arguments.job:
                _write_sounds(Path(folder), number)
            else:
                _write(Path(folder), number, arguments.network)
            command = [sys.executable, __file__, str(number), "--child", folder, "--network", arguments.network]
            command += ["--job"] if arguments.job else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"| {number:,} | {' | '.join(f'{found[name]:.0f}' for name in columns)} |", flush=True)


def _write_sounds(folder: Path, number: int) -> None:
    """Made sounds and references by the same ids, each another one."""
    random = np.random.default_rng(0)
    for place in ("made", "real"):
        (folder / place).mkdir()
        for sound in range(number):
            samples = (0.1 * random.standard_normal(SHORT)).astype(np.float32)
            soundfile.write(folder / place / f"sound{sound:07d}.wav", samples, RATE, "PCM_16")


def _drive(folder: Path) -> dict[str, float]:
    """The job in this process: its peak in MB before and after it."""
    from workflows.evaluate import systems

    settings = ["metrics.resamples=100"]
    job, started = load(EvaluateJob, job="evaluate", overrides=settings), time.perf_counter()
    found = {"start": peak_mb()}
    places = {"one": str(folder / "made")}
    content = systems.run(places, str(folder / "real"), str(folder / "out"), job, models="miniature")
    assert content["systems"]["one"]["clap_similarity_reference"]["value"], content["systems"]["one"]
    return found | {"driver": peak_mb(), "s": time.perf_counter() - started}


def _measure(folder: Path, number: int, name: str) -> dict[str, float]:
    """Peaks in MB after each step."""
    job, started = load(EvaluateJob, job="evaluate", overrides=["metrics.resamples=100"]), time.perf_counter()
    found = {"start": peak_mb()}
    ids = [f"sound{row:07d}" for row in range(number)]
    members = {key: [Member(key, key)] for key in ids}
    folders = {}
    for extractor in (CLAP, name):
        places = (str(folder / place / extractor / "rows") for place in KINDS)
        folders[extractor] = Folders(Weights(extractor, "", "0" * 64), *places)
    clap = {"one": ClapSounds(members, members)}
    sets = Sets({"one": members}, members, None, "silence", folders, clap)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        measured = measure_sets(sets, PROTOCOLS["paper"], job.sets, Path(scratch))
    known = {result.name for result in measured.results["one"] if result.estimate}
    assert NETWORKS[name] <= known, known
    found["sets"] = peak_mb()
    table = read_columns(str(folder / "evaluated" / "rows"), row_columns(job.metrics))
    made_by = dict.fromkeys(EvaluateJob.model_fields, ("", ""))
    names = [metric for metric, _ in _metrics(job)]
    verdicts = dict.fromkeys(ids, "rain")
    judged = Judged(verdicts, verdicts, frozenset({"rain"}))
    rows = joined(read_rows(table), replace(measured, judged={"one": judged}), "one", "segment_id")
    row_results(rows, made_by | dict.fromkeys(names, ("", "")), PROTOCOLS["paper"], job.metrics)
    return found | {"rows": peak_mb(), "s": time.perf_counter() - started}


def _metrics(job: EvaluateJob) -> Iterator[tuple[str, object]]:
    from v2a_core.metrics import METRICS, load_metric

    return ((name, load_metric(name, job.metrics)) for name in METRICS.names())


def _write(folder: Path, number: int, name: str) -> None:
    for extractor, kind in ((name, network(name)), (CLAP, Clap)):
        schema, heard = features.feature_schema(kind.columns), functools.partial(_heard, kind.sizes)
        for place in KINDS:
            _write_rows(folder / place / extractor / "rows", schema, number, heard)
    _write_rows(folder / "evaluated" / "rows", evaluated_schema(), number, _evaluated)


def _write_rows(
    folder: Path, schema: pa.Schema, number: int, columns: Callable[[int, np.random.Generator], dict[str, object]]
) -> None:
    writer = PartWriter(str(folder), schema, id_column="segment_id", seen=set(), settings=PartSettings(), metadata={})
    random = np.random.default_rng(len("".join(folder.parts[-3:])))
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


def _heard(sizes: Mapping[str, int], count: int, random: np.random.Generator) -> dict[str, object]:
    drawn = {name: random.standard_normal((count, size), dtype=np.float32) for name, size in sizes.items()}
    return {name: arrays.vectors(list(rows), sizes[name]) for name, rows in drawn.items()}


def _evaluated(count: int, random: np.random.Generator) -> dict[str, object]:
    onsets = [sorted(random.uniform(0, 10, 12).tolist()) for _ in range(count)]
    numbers = ("similarity_to_condition", "similarity_to_caption", "level_difference")
    return {
        "onsets_s": onsets,
        "reference_onsets_s": onsets,
        "onset_confidence": [[0.9] * 12] * count,
        "label": ["rain"] * count,
        **{name: random.uniform(0, 1, count).tolist() for name in numbers},
    }


if __name__ == "__main__":
    main()
