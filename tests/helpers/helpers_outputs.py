"""Reading what jobs wrote, as their users do, and whether two outputs are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile

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


def segment_rows(output: str | Path) -> dict[str, dict[str, Any]]:
    """All rows of embeddings, or of an evaluation, each segment once, by its id."""
    read = [row for part in part_files(f"{output}/rows") for row in pq.read_table(part).to_pylist()]
    assert len({row["segment_id"] for row in read}) == len(read)
    return {row["segment_id"]: row for row in read}


def assert_same_embeddings(got: dict[str, dict[str, Any]], want: dict[str, dict[str, Any]]) -> None:
    """The same segments, and nearly the same vectors: batches were others."""
    assert got.keys() == want.keys()
    for identity, row in want.items():
        for name in ("clap_embedding", "vision_frames"):
            one, other = np.atleast_2d(got[identity][name]), np.atleast_2d(row[name])
            cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
            assert (1 - cosine < 1e-3).all()


def assert_same_soundtracks(got_in: Path, want_in: Path, sources: int) -> None:
    """The same rows, the same samples, and no file more."""
    got, want = ({row["source_id"]: row for row in index_rows(output)} for output in (got_in, want_in))
    assert got.keys() == want.keys()
    assert len(got) == sources
    for identity, row in want.items():
        mine = got[identity]
        assert mine["status"] == row["status"] == "ok"
        for column in _PATHS:
            relative = Path(row[column]).relative_to(want_in)
            assert Path(mine[column]).relative_to(got_in) == relative
            assert (got_in / relative).is_file()
        one, other = soundfile.read(mine["audio_path"])[0], soundfile.read(row["audio_path"])[0]
        np.testing.assert_allclose(one, other, atol=1e-3)
        assert mine.get("curve") == row.get("curve")
    for kind in ("audio", "video"):
        files = [file for file in (got_in / kind).rglob("*") if file.is_file()]
        assert len([file for file in files if not file.name.startswith(".")]) == sources


def fingerprint(output: Path) -> str:
    """Of what a training has made."""
    return str(json.loads((output / "summary.json").read_text())["fingerprint"])
