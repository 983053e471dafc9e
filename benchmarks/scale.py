"""What listing, planning, ledger and resume cost for large catalogs; no models, no decoding.

Run `python benchmarks/scale.py` (or with other numbers: `python benchmarks/scale.py 100000 10000000`). For each
number it makes folders of that many small files (a thousand links to one file each). One process lists them and plans
a first run; writes an output in which all of them are done, in the schema of `v2a embed`, and plans a run that finds
it; then it hands the blocks of the first run to Ray. The peak is that of the process so far; what of it lies in Ray's
shared memory is in it. With `--no-files`, names are made up where files would be listed: what is left is what the
program itself does. With `--shards`, the files are members of compressed tar shards, a thousand in each, which are
listed by the driver and then by Ray's workers: seconds, and what this process has read.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from peak import peak_mb

from v2a_core.catalog import CatalogSettings, Source, Sources
from v2a_core.catalog.collector import Collector
from v2a_core.compute.ids import unpack
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.outputs import ledger
from v2a_core.tables.schema import EMBEDDINGS, ROWS_FOLDER
from workflows.embed.config import EmbedJob
from workflows.streaming.blocks import Blocks
from workflows.streaming.catalog_job import plan_catalog
from workflows.streaming.listing import Listing, list_catalog
from workflows.streaming.plan import Planned, dataset
from workflows.streaming.summary import Tally

NUMBERS = (10_000, 100_000, 1_000_000)
PER_FOLDER, PER_PART = 1000, 100_000
MEMBER_BYTES = 4096  # of a file in a shard
SLOTS = 1000  # decode tasks at once, of the cluster that a plan is for
SEGMENTS, FRAMES = SegmentSettings(), FrameSettings()


def main() -> None:
    """Print seconds and peak memory for each number of sources."""
    if sys.argv[1:2] == ["--child"]:
        _measure(*sys.argv[2:])
        return
    made_up, in_shards = "--no-files" in sys.argv, "--shards" in sys.argv
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdecimal()]
    print(f"{'sources':>10} {'what':>7} {'s':>7} {'CPU s':>7} {'peak MB':>8}  parts of it")
    for number in numbers or NUMBERS:
        with tempfile.TemporaryDirectory(prefix="v2a-scale-") as folder:
            catalog, output = Path(folder, "catalog"), Path(folder, "output")
            if in_shards:
                _list_shards(catalog, number)
                continue
            if not made_up:
                _write_catalog(catalog, number)
            subprocess.run([sys.executable, __file__, "--child", str(catalog), str(output), str(number)], check=True)


class _Clock:
    """Seconds since it was made; on a machine with other work those of the CPU are the steadier figure."""

    def __init__(self) -> None:
        self._wall, self._cpu, self._parts = time.perf_counter(), time.process_time(), dict[str, float]()

    def note(self, name: str) -> None:
        """Note when a part of the work has ended."""
        self._parts[name] = time.perf_counter() - self._wall - sum(self._parts.values())

    def report(self, number: int, what: str, **more: float) -> None:
        """Print a line."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        parts = ", ".join(f"{name} {value:.1f}" for name, value in {**self._parts, **more}.items())
        print(f"{number:10,} {what:>7} {wall:7.1f} {cpu:7.1f} {peak_mb():8.0f}  {parts}", flush=True)


def _measure(catalog: str, output: str, number: str) -> None:
    """A first run until Ray would start, one that finds everything done, and the first one handed to Ray."""
    clock = _Clock()
    there = Path(catalog).exists()
    listing = list_catalog([catalog], CatalogSettings(), None) if there else _made_up(catalog, int(number))
    clock.note("list_s")
    planned = _plan(listing, output, clock)
    clock.report(listing.count, "fresh", planned=len(planned))
    _write_output(listing.sources, Path(output))
    clock = _Clock()
    assert not len(_plan(listing, output, clock)), "sources were planned again"
    clock.report(listing.count, "resume")
    _hand_to_ray(planned)


def _list_shards(catalog: Path, number: int) -> None:
    """By the driver's threads, then by workers that are there already."""
    import ray

    from workflows.streaming.shards import shards_on_workers

    _write_shards(catalog, number)
    ray.init(address="local", include_dashboard=False, logging_level="warning", log_to_driver=False)
    list_catalog([str(next(catalog.iterdir()))], CatalogSettings(), None, shards=shards_on_workers(None))
    found = []
    for what, shards in (("driver", None), ("workers", shards_on_workers(None))):
        clock, before = _Clock(), _read_mb()
        listing = list_catalog([str(catalog)], CatalogSettings(), None, shards=shards)
        clock.note("list_s")
        clock.report(listing.count, what, read_mb=_read_mb() - before)
        found.append(listing.sources.ids(SEGMENTS, FRAMES))
    assert (found[0] == found[1]).all(), "workers list other sources"
    ray.shutdown()


def _read_mb() -> float:
    """What this process has read so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"]) / 2**20


def _write_shards(folder: Path, number: int) -> None:
    folder.mkdir()
    for first in range(0, number, PER_FOLDER):
        with tarfile.open(folder / f"shard-{first // PER_FOLDER:05d}.tar.gz", "w:gz", compresslevel=1) as tar:
            for index in range(first, min(first + PER_FOLDER, number)):
                info = tarfile.TarInfo(f"clip-{index:08d}.mp4")
                info.size = MEMBER_BYTES
                tar.addfile(info, io.BytesIO(os.urandom(MEMBER_BYTES)))


def _made_up(catalog: str, number: int) -> Listing:
    """The listing of such a folder, without the folder: all of it but the looks at files."""
    collector = Collector()
    for index in range(number):
        name = f"{index // PER_FOLDER:05d}/clip-{index:08d}.mp4"
        version = f"64-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
        collector.add(Source(f"{catalog}/{name}", name, "video", version, 64))
    return Listing(collector.build(), [], {})


def _plan(listing: Listing, output: str, clock: _Clock) -> Planned:
    done = ledger.embeddings_ledger(f"{output}/{ROWS_FOLDER}")
    clock.note("ledger_s")
    planned, _ = plan_catalog(listing, EmbedJob(), done, Tally("embed"))
    clock.note("plan_s")
    return planned


def _hand_to_ray(planned: Planned) -> None:
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="warning", log_to_driver=False)
    clock = _Clock()
    data = dataset(planned, Blocks(slots=SLOTS))
    stored_mb = data.size_bytes() / 2**20
    clock.report(len(planned), "to Ray", blocks=data.num_blocks(), stored_mb=stored_mb)


def _write_catalog(folder: Path, number: int) -> None:
    for index in range(number):
        if index % PER_FOLDER == 0:
            inside = folder / f"{index // PER_FOLDER:05d}"
            inside.mkdir(parents=True)
            first = inside / f"clip-{index:08d}.mp4"
            first.write_bytes(b"%064d" % index)  # its version is a hash of it
        else:
            os.link(first, inside / f"clip-{index:08d}.mp4")


def _write_output(sources: Sources, output: Path) -> None:
    """A row a source, one segment each, with everything a ledger reads; embeddings are left out."""
    folder = output / ROWS_FOLDER
    folder.mkdir(parents=True)
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
