"""Files that change between runs: the newest version counts, nothing is made twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import helpers_catalog
import pytest

from v2a_core.config import load
from v2a_core.outputs.ledger import read_columns, read_latest
from v2a_core.verification import verify
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob

SETTINGS = ("segments.length_s=1.0", "segments.min_length_s=0.4", "encoders.precision=fp32")
COLUMNS = ["source_name", "status", "segment_id"]


def run(catalog: Path, output: Path, **more: Any) -> dict[str, Any]:
    return embed.run(
        [str(catalog)], str(output), load(EmbedJob, job="embed", overrides=[*SETTINGS]), **more, models="miniature"
    )


@pytest.fixture(scope="module")
def first(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("versions")
    helpers_catalog.video(folder / "catalog" / "good.mp4", 1.0)
    helpers_catalog.corrupt(folder / "catalog" / "broken.mp4")
    assert run(folder / "catalog", folder / "out")["totals"]["rows_rejected"] == 1
    return folder / "catalog", folder / "out"


def test_touch_makes_no_new_version(first: tuple[Path, Path]) -> None:
    """`touch` of every file: nothing is done again"""
    catalog, output = first
    for file in catalog.iterdir():
        os.utime(file, (1e9, 1e9))
    assert run(catalog, output)["counts"]["sources_done_now"] == 0


def test_rejects_of_a_stage_are_tried_again(first: tuple[Path, Path]) -> None:
    """`--retry-rejects probe`: those rejects alone are tried again, and no row is there twice"""
    catalog, output = first
    summary = run(catalog, output, retry_rejects=["mux"])
    assert summary["counts"]["sources_done_now"] == 0
    summary = run(catalog, output, retry_rejects=["probe", "decode"])
    assert (summary["counts"]["sources_done_now"], summary["totals"]["rows_rejected"]) == (1, 1)
    assert read_columns(f"{output}/rows", COLUMNS).num_rows == 2
    assert verify(str(output)).problems == []


def test_a_repaired_file_replaces_its_reject(first: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """a broken file that is repaired: its new version counts, for readers, totals and verify"""
    catalog, output = first
    helpers_catalog.video(catalog / "broken.mp4", 1.0, hue=77)
    summary = run(catalog, output)
    assert "1 sources have changed since they were done" in capsys.readouterr().out
    assert summary["totals"] == {
        "sources": 2, "rows_good": 2, "rows_rejected": 0, "rejected_by_reason": {}, "sources_missing": 0,
        "sources_waiting": 0,
    }  # fmt: skip
    assert run(catalog, output)["totals"] == summary["totals"]
    assert read_columns(f"{output}/rows", COLUMNS).num_rows == 3
    rows = read_latest(f"{output}/rows", COLUMNS).to_pylist()
    assert sorted((row["source_name"], row["status"]) for row in rows) == [("broken.mp4", "ok"), ("good.mp4", "ok")]
    assert verify(str(output)).problems == []
