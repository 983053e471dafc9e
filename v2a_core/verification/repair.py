"""What is damaged is taken out, so that the job makes it anew; what is good stays as it is.

Nothing is lost that could be of use: parts and files that cannot be used are moved to `damaged/`. A repair that is
killed half-way leaves at most rows that stand twice, or a part in two places: the next repair mends that.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import hold
from v2a_core.outputs.parts import write_part
from v2a_core.verification.report import Report
from v2a_core.verification.rows import folder_of

DAMAGED_FOLDER = "damaged"
REPAIRED = "repaired"  # the status of an output that its job has to complete
_STAMP = re.compile(r"part-(\d+)")


def repair(report: Report) -> list[str]:
    """Take out what a verification found damaged.

    Args:
        report: Fresh.

    Returns:
        What was done, a sentence each; empty when there was nothing to do.

    Raises:
        OutputInUseError: When a job is writing to it.
    """
    done = [f"{inside.output}: {said}" for inside in report.inside for said in repair(inside)]
    if not report.damage:
        return done
    with hold(report.output, "verify --repair"):
        return done + _repair(report)


def _repair(report: Report) -> list[str]:
    done = []
    damage, parts = report.damage, {name: rows for name, rows in report.parts.items() if rows is not None}
    for name in damage.parts:
        moved = _set_aside(report.output, storage.join(folder_of(report), name))
        done.append(f"{name}: moved to {moved}")
    for name, rows in damage.rows.items():
        if rows:
            kept = take_out(storage.join(folder_of(report), name), rows)
            parts = {other: count for other, count in parts.items() if other != name} | kept
            done.append(
                f"{name}: {len(rows)} rows taken out, {sum(kept.values())} kept{''.join(f' in {new}' for new in kept)}"
            )
    done += [f"{name}: no longer expected" for name in damage.gone]
    for path in damage.files:
        done += [f"{path}: moved to {_set_aside_tree(report.output, path)}"]
    _record(report, parts)
    return done


def _record(report: Report, parts: dict[str, int]) -> None:
    made_by = report.made_by.copy()
    only_files = report.damage.files and not report.damage.redo
    if not only_files:
        made_by["status"] = REPAIRED
    if manifest.recorded_parts(made_by) or parts:
        made_by["contents"] = manifest.contents(parts)
    storage.write_json(storage.join(report.output, manifest.FILE_NAME), made_by)


def take_out(uri: str, rows: set[int]) -> dict[str, int]:
    """Put a part without some of its rows into its place in the order; nothing when no row is left.

    Args:
        uri: The part.
        rows: Places of the rows.

    Returns:
        Rows of the new part, by its file name.
    """
    folder, name = uri.rsplit("/", 1)
    table = pq.read_table(pa.BufferReader(storage.read_bytes(uri)))
    keep = np.ones(table.num_rows, bool)
    keep[sorted(rows)] = False
    kept = table.filter(pa.array(keep))
    written = {}
    if kept.num_rows:
        stamp = _STAMP.match(name)
        written = {write_part(folder, kept, int(stamp[1]) if stamp else time.time_ns()): kept.num_rows}
    if name not in written:
        storage.remove(uri)
    return written


def _set_aside(output: str, uri: str) -> str:
    """Move a file of the output to `damaged/`; returns its path there."""
    inside = uri.removeprefix(output).lstrip("/")
    target = f"{DAMAGED_FOLDER}/{inside.rsplit('/', 1)[-1]}"
    number = 1
    while storage.exists(storage.join(output, target)):
        number += 1
        target = f"{DAMAGED_FOLDER}/{number}-{inside.rsplit('/', 1)[-1]}"
    with storage.local_copy(uri) as path:
        storage.upload(path, storage.join(output, target))
    storage.remove(uri)
    return target


def _set_aside_tree(output: str, path: str) -> str:
    """Move a file, or a folder with all that is in it."""
    uri = storage.join(output, path)
    fs, place = storage.filesystem(uri)
    if not storage.attempt(uri, lambda: bool(fs.isdir(place))):
        return _set_aside(output, uri)
    target = f"{DAMAGED_FOLDER}/{path.rsplit('/', 1)[-1]}"
    for name in storage.attempt(uri, lambda: fs.find(place)):
        inside = name[len(place) :].lstrip("/")
        with storage.local_copy(storage.join(uri, inside)) as copy:
            storage.upload(Path(copy), storage.join(output, target, inside))
    storage.attempt(uri, lambda: fs.rm(place, recursive=True))
    return target
