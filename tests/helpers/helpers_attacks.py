"""Jobs for attacks: small, in this process, with what became of every source."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import helpers_catalog
import numpy as np
import pyarrow.parquet as pq

from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import part_files
from workflows.cli.main import main

SEGMENTS = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0", "output.interval_s=0")
SOUND = ("frames.image_segment_s=1.0", "generator.num_inference_steps=2", "generator.precision=fp32")
EXACT = ("encoders.precision=fp32",)
FORGIVING = ("limits.max_reject_share=1.0",)


def arguments(settings: Sequence[str]) -> list[str]:
    """Settings for a command line."""
    return [f"--set={setting}" for setting in settings]


def embed(catalog: Sequence[object], output: object, *settings: str, more: Sequence[str] = ()) -> int:
    """`v2a embed` in this process; returns its exit code."""
    command = ["embed", *map(str, catalog), "--output", str(output), "--models", "miniature", *more]
    return main([*command, *arguments([*SEGMENTS, *EXACT, *FORGIVING, *settings])])


def generate(
    catalog: Sequence[object], output: object, mapper: object, *settings: str, more: Sequence[str] = ()
) -> int:
    """`v2a generate` in this process; returns its exit code."""
    command = ["generate", *map(str, catalog), "--output", str(output), "--mapper", str(mapper)]
    command += ["--models", "miniature", *more]
    return main([*command, *arguments([*SEGMENTS, *SOUND, *EXACT, *FORGIVING, *settings])])


def small_mapper(folder: Path) -> str:
    """A mapper with random weights between the miniature's spaces."""
    return helpers_catalog.random_mapper(folder, load_bundle("miniature").resolve())


def rows(output: object, folder: str = "rows") -> list[dict[str, Any]]:
    """The rows that an output holds for good; none twice."""
    read = [row for part in part_files(f"{output}/{folder}") for row in pq.read_table(part).to_pylist()]
    names = [row["segment_id"] if folder == "rows" else row["source_id"] for row in read]
    assert len(set(names)) == len(names)
    return read


def unfinished(output: object) -> list[dict[str, Any]]:
    """The rows of what the next run tries again."""
    return [
        row
        for part in sorted(Path(str(output)).glob("unfinished/*.parquet"))
        for row in pq.read_table(part).to_pylist()
    ]


def by_name(found: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by the name of their source."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        grouped.setdefault(row["source_name"], []).append(row)
    return grouped


def counts(output: object) -> dict[str, Any]:
    """The counts of the last run's summary."""
    return dict(json.loads((Path(str(output)) / "summary.json").read_text())["counts"])


def assert_sound_row(row: dict[str, Any]) -> None:
    """A good row holds unit vectors of finite numbers, a rejected one says where, what and why."""
    if row["status"] == "rejected":
        assert row["reject_stage"]
        assert row["reject_type"]
        assert row["reject_message"]
        return
    frames = np.array(row["vision_frames"], np.float32)
    assert len(frames) == len(row["frame_times_s"]) > 0
    np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 1, atol=5e-3)
    assert math.isfinite(row["source_duration_s"])
    if row["clap_embedding"] is not None:
        assert abs(np.linalg.norm(row["clap_embedding"]) - 1) < 1e-3
