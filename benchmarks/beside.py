"""What joining a sidecar to embeddings costs: memory and time of the ids, and how often row groups are read.

Run `python benchmarks/beside.py` (or with other numbers of rows: `python benchmarks/beside.py 1000000 10000000`). For
each number it writes embeddings and a sidecar as parts of ids, with a short vector beside each in the latter, and joins
them in a process of its own. `alike`: the sidecar is in the order of the embeddings, though its parts are of another
size; `late`: rows come up to two parts late, as workers end; `none`: in no order at all, of which only some parts of
the embeddings are read. `read` is how often a row group of the sidecar was read for each that was needed, `parts` how
often a part is, as a training is told. Names of orders choose among them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peak import peak_mb

from v2a_core.compute.ids import Ids, pack_digests
from v2a_core.outputs import joining
from v2a_core.outputs.joining import BesideReader, Met, meet
from v2a_core.outputs.ledger import part_files
from v2a_core.outputs.sidecar import Sidecar
from v2a_core.tables.schema import ROWS_FOLDER

NUMBERS = (1_000_000,)
PER_PART, PER_PART_BESIDE, PER_GROUP, AT_ONCE = 20_000, 17_000, 2048, 4096
DIM, SPACE, SOME_PARTS = 8, "benchmark:0", 3


def main() -> None:
    """Print seconds, peak memory and readings for each number of rows."""
    if sys.argv[1:2] == ["--child"]:
        _measure(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
        return
    print(
        f"{'rows':>11} {'order':>8} {'ids s':>6} {'peak MB':>8} {'taken':>10} {'rows/s':>8} {'read':>6} {'parts':>6}",
        flush=True,
    )
    chosen = [argument for argument in sys.argv[1:] if not argument.isdecimal()]
    for number in [int(argument) for argument in sys.argv[1:] if argument.isdecimal()] or NUMBERS:
        with tempfile.TemporaryDirectory(prefix="v2a-beside-") as folder:
            ids = pack_digests(np.random.default_rng(0).bytes(16 * number))
            _write(Path(folder, "embeddings"), ids, PER_PART, beside=False)
            for order, late in (("alike", 1), ("late", 2 * PER_PART), ("none", 100 * number)):
                if chosen and order not in chosen:
                    continue
                sidecar = Path(folder, order)
                when = np.arange(number) + np.random.default_rng(1).random(number) * late
                _write(sidecar, ids[np.argsort(when)], PER_PART_BESIDE, beside=True)
                child = [sys.executable, __file__, "--child", str(Path(folder, "embeddings")), str(sidecar), order]
                subprocess.run(child, check=True)


def _measure(embeddings: Path, sidecar: Path, order: str) -> None:
    started = time.perf_counter()
    parts = part_files(f"{embeddings}/{ROWS_FOLDER}")
    met = meet(str(embeddings), parts, Sidecar(str(sidecar), {"spaces": {"vision": SPACE}}, ("frames",)))
    ids_s = time.perf_counter() - started
    assert (met.numbers_N != joining.NOWHERE).all()
    started = time.perf_counter()
    wanted = parts[:SOME_PARTS] if order == "none" else parts
    rows, needed, read = 0, set[tuple[int, int]](), 0
    for part in range(len(wanted)):
        numbers = met.numbers_N[part * PER_PART : (part + 1) * PER_PART]
        needed |= _groups(met, numbers)
        with BesideReader(met.beside, ["vision_frames"]) as reader:
            for start in range(0, len(numbers), AT_ONCE):
                rows += reader.take(numbers[start : start + AT_ONCE]).num_rows
            read += reader.groups_read
    seconds = time.perf_counter() - started
    print(
        f"{len(met.numbers_N):11,} {order:>8} {ids_s:6.1f} {peak_mb():8.0f} {rows:10,} {rows / seconds:8,.0f} "
        f"{read / len(needed):6.2f} {met.readings:6.1f}",
        flush=True,
    )


def _groups(met: Met, numbers: np.ndarray) -> set[tuple[int, int]]:
    parts = np.searchsorted(met.beside.starts, numbers, side="right") - 1
    groups = (numbers - met.beside.starts[parts]) // PER_GROUP
    return set(zip(parts.tolist(), groups.tolist(), strict=True))


def _write(output: Path, ids: Ids, per_part: int, *, beside: bool) -> None:
    """Parts of some rows each, sorted by their ids."""
    folder = output / ROWS_FOLDER
    folder.mkdir(parents=True)
    random = np.random.default_rng(2)
    for number, start in enumerate(range(0, len(ids), per_part)):
        texts = sorted(np.ascontiguousarray(row).tobytes().hex() for row in ids[start : start + per_part])
        columns = {"segment_id": pa.array(texts)}
        if beside:
            flat = pa.array(random.standard_normal(len(texts) * DIM).astype(np.float16))
            frames = pa.FixedSizeListArray.from_arrays(flat, DIM)
            offsets = pa.array(np.arange(len(texts) + 1, dtype=np.int32))
            columns |= {
                "status": pa.array(["ok"] * len(texts)),
                "vision_frames": pa.ListArray.from_arrays(offsets, frames),
            }
        table = pa.table(columns).replace_schema_metadata({"v2a.vision_space": SPACE})
        pq.write_table(
            table, folder / f"part-{number:06d}.parquet", row_group_size=PER_GROUP, compression="zstd",
            use_dictionary=["status"] if beside else False, write_page_checksum=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
