"""What listing, planning, ledger and resume cost for large catalogs; no models, no decoding.

Run `python benchmarks/scale.py` (or with other numbers: `python benchmarks/scale.py 100000 10000000`). For each number it
makes folders of that many small files (a thousand links to one file each), and an output in which all of them are done,
in the schema of `v2a embed`; then, in processes of their own, it plans a fresh run, hands its blocks to Ray, and resumes
the finished one. The peak is that of the process; what of it the plan takes in Ray's shared memory is in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peak import peak_mb

from v2a_core.catalog import CatalogSettings
from v2a_core.compute.ids import unpack
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.outputs import ledger
from v2a_core.tables.schema import EMBEDDINGS, ROWS_FOLDER
from workflows.embed.config import EmbedJob
from workflows.streaming.catalog_job import plan_catalog
from workflows.streaming.listing import list_catalog
from workflows.streaming.blocks import Blocks
from workflows.streaming.plan import Planned, dataset
from workflows.streaming.summary import Tally

NUMBERS = (10_000, 100_000, 1_000_000)
PER_FOLDER, PER_PART = 1000, 100_000
SLOTS = 1000  # decode tasks at once, of the cluster that a plan is for
SEGMENTS, FRAMES = SegmentSettings(), FrameSettings()


def main() -> None:
    """Print seconds and peak memory for each number of sources."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps({"fresh": _fresh, "blocks": _blocks, "resume": _resume}[sys.argv[2]](*sys.argv[3:])))
        return
    print(f"{'sources':>10} {'what':>8} {'s':>7} {'CPU s':>7} {'peak MB':>8}  parts of it")
    for number in [int(argument) for argument in sys.argv[1:]] or NUMBERS:
        with tempfile.TemporaryDirectory(prefix="v2a-scale-") as folder:
            catalog, output = Path(folder, "catalog"), Path(folder, "output")
            _write_catalog(catalog, number)
            for what in ("fresh", "blocks"):
                _report(number, what, catalog, output)
            _write_output(catalog, output)
            _report(number, "resume", catalog, output)


def _report(number: int, what: str, catalog: Path, output: Path) -> None:
    command = [sys.executable, __file__, "--child", what, str(catalog), str(output)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    parts = ", ".join(f"{name} {value}" for name, value in result["parts"].items())
    print(
        f"{number:10,} {what:>8} {result['s']:7.1f} {result['cpu_s']:7.1f} {result['peak_mb']:8.0f}  {parts}",
        flush=True,
    )


def _fresh(catalog: str, output: str) -> dict[str, Any]:
    """A first run up to the moment at which Ray would start: list and plan."""
    return _measure(lambda note: _plan(catalog, output, note))


def _blocks(catalog: str, output: str) -> dict[str, Any]:
    """The same, and the plan handed to Ray."""

    def work(note: Callable[..., None]) -> None:
        import ray

        planned = _plan(catalog, output, note)
        ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="warning", log_to_driver=False)
        started = time.perf_counter()
        data = dataset(planned, Blocks(slots=SLOTS))
        note(to_ray_s=time.perf_counter() - started, blocks=data.num_blocks(), stored_mb=data.size_bytes() / 2**20)

    return _measure(work)


def _resume(catalog: str, output: str) -> dict[str, Any]:
    """A run that finds everything done."""

    def work(note: Callable[..., None]) -> None:
        planned = _plan(catalog, output, note)
        assert not planned, f"{len(planned)} sources were planned again"

    return _measure(work)


def _plan(catalog: str, output: str, note: Callable[..., None]) -> Planned:
    marks = [time.perf_counter()]
    listing = list_catalog([catalog], CatalogSettings(), None)
    marks.append(time.perf_counter())
    done = ledger.embeddings_ledger(f"{output}/{ROWS_FOLDER}")
    marks.append(time.perf_counter())
    planned, _ = plan_catalog(listing, EmbedJob(), done, Tally("embed"))
    marks.append(time.perf_counter())
    seconds = np.diff(marks)
    note(list_s=seconds[0], ledger_s=seconds[1], plan_s=seconds[2], planned=len(planned))
    return planned


def _measure(work: Callable[[Callable[..., None]], object]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    started = time.perf_counter()
    work(lambda **more: parts.update({key: round(float(value), 1) for key, value in more.items()}))
    seconds = time.perf_counter() - started
    # On a machine with other work the CPU time is the steadier figure.
    return {"s": seconds, "cpu_s": time.process_time(), "peak_mb": peak_mb(), "parts": parts}


def _write_catalog(folder: Path, number: int) -> None:
    for index in range(number):
        if index % PER_FOLDER == 0:
            inside = folder / f"{index // PER_FOLDER:05d}"
            inside.mkdir(parents=True)
            first = inside / f"clip-{index:08d}.mp4"
            first.write_bytes(b"%064d" % index)  # its version is a hash of it
        else:
            os.link(first, inside / f"clip-{index:08d}.mp4")


def _write_output(catalog: Path, output: Path) -> None:
    """A row a source, one segment each, with everything a ledger reads; embeddings are left out."""
    folder = output / ROWS_FOLDER
    folder.mkdir(parents=True)
    sources = list_catalog([str(catalog)], CatalogSettings(), None).sources
    for start in range(0, len(sources), PER_PART):
        part = sources[start : start + PER_PART]
        ids = unpack(part.ids(SEGMENTS, FRAMES))
        values = {
            "segment_id": [identity[::-1] for identity in ids],
            "source_id": ids,
            "source_key": unpack(part.keys),
            "recorded_at": [start] * len(part),
            "source_uri": [source.uri for source in part],
            "source_name": [source.name for source in part],
            "kind": ["video"] * len(part),
            "segment_index": [0] * len(part),
            "segment_count": [1] * len(part),
            "status": ["ok"] * len(part),
        }
        columns = [
            pa.array(values[field.name], field.type) if field.name in values else pa.nulls(len(part), field.type)
            for field in EMBEDDINGS
        ]
        pq.write_table(
            pa.Table.from_arrays(columns, schema=EMBEDDINGS), folder / f"part-{start:09d}.parquet", compression="zstd"
        )


if __name__ == "__main__":
    main()
