"""Rejects that somebody has a reason to try again: taken out of an output, so that its next run makes them anew."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from v2a_core import manifest, storage
from v2a_core.ledger import part_files, read_part
from v2a_core.schema import REJECTED
from v2a_core.verification.repair import take_out


def forget_rejects(output: str, folder: str, stages: Collection[str]) -> int:
    """Take the rejects of some stages out of an output; its good rows stay.

    Args:
        output: Folder or URI.
        folder: Of its rows, inside.
        stages: Stages, as in `reject_stage`.

    Returns:
        Rows that were taken out.
    """
    taken, parts = 0, {}
    for uri in part_files(storage.join(output, folder)):
        table = read_part(uri, ["status", "reject_stage"]).to_pydict()
        bad = [
            status == REJECTED and stage in stages
            for status, stage in zip(table["status"], table["reject_stage"], strict=True)
        ]
        rows = {int(row) for row in np.flatnonzero(bad)}
        if rows:
            parts[uri.rsplit("/", 1)[-1]] = take_out(uri, rows)
            taken += len(rows)
    if taken:
        _record(output, parts)
    return taken


def _record(output: str, parts: dict[str, dict[str, int]]) -> None:
    uri = storage.join(output, manifest.FILE_NAME)
    made_by = storage.read_json(uri)
    recorded = {name: rows for name, rows in manifest.recorded_parts(made_by).items() if name not in parts}
    for written in parts.values():
        recorded |= written
    storage.write_json(uri, {**made_by, "contents": manifest.contents(recorded)})
