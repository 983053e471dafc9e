"""Rows that somebody has a reason to make again: taken out of an output, so that its next run makes them anew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import part_files, read_part
from v2a_core.tables.schema import REJECTED
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
    wanted = pa.array(list(stages), pa.string())

    def of_these_stages(rows: pa.Table) -> npt.NDArray[np.bool_]:
        chosen = pc.and_(pc.equal(rows["status"], REJECTED), pc.is_in(rows["reject_stage"], value_set=wanted))
        mask: npt.NDArray[np.bool_] = chosen.to_numpy()
        return mask

    return forget(output, folder, ["status", "reject_stage"], of_these_stages)


def forget(
    output: str, folder: str, columns: Sequence[str], choose: Callable[[pa.Table], npt.NDArray[np.bool_]]
) -> int:
    """Take rows out of an output.

    Args:
        output: Folder or URI.
        folder: Of its rows, inside.
        columns: What `choose` reads.
        choose: Says of a part's rows which ones to take out.

    Returns:
        Rows that were taken out.
    """
    taken, parts = 0, {}
    for uri in part_files(storage.join(output, folder)):
        rows = {int(row) for row in np.flatnonzero(choose(read_part(uri, columns)))}
        if rows:
            parts[uri.rsplit("/", 1)[-1]] = take_out(uri, rows)
            taken += len(rows)
    if taken:
        _record(output, parts)
    return taken


def _record(output: str, parts: dict[str, dict[str, int]]) -> None:
    made_by = manifest.load(output)
    recorded = {name: rows for name, rows in manifest.recorded_parts(made_by).items() if name not in parts}
    for written in parts.values():
        recorded |= written
    storage.write_json(storage.join(output, manifest.FILE_NAME), {**made_by, "contents": manifest.contents(recorded)})
