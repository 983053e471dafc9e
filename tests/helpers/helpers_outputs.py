"""Reading what jobs wrote, as their users do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from v2a_core.outputs.ledger import part_files

_PATHS = ("audio_path", "video_path")


def index_rows(output: str | Path) -> list[dict[str, Any]]:
    """All rows of an index, each source once, with the paths of their files as they are on this machine."""
    rows = [row for part in part_files(f"{output}/index") for row in pq.read_table(part).to_pylist()]
    assert len({row["source_id"] for row in rows}) == len(rows)
    for row in rows:
        row |= {name: row[name] and f"{output}/{row[name]}" for name in _PATHS}
        row["loser_paths"] = row["loser_paths"] and [f"{output}/{path}" for path in row["loser_paths"]]
    return rows
