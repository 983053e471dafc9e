"""VGGSound as it is today: a good part of the videos that its table names is gone."""

from __future__ import annotations

import json

import helpers_catalog
import pytest

from v2a_core.outputs.ledger import read_columns
from workflows.cli.main import main

LABELS = ("dog barking", "people marching", "waterfall burbling")


@pytest.mark.slow  # the quick start runs over a table with a missing file, too
def test_a_table_with_two_fifths_of_its_videos_missing_is_embedded_and_told(ray_session, tmp_path, capsys):
    names = [f"video_{number:04d}x" for number in range(10)]
    media, table, output = tmp_path / "media", tmp_path / "vggsound.csv", tmp_path / "embeddings"
    for number, name in enumerate(names[:6]):
        helpers_catalog.video(media / f"{name}_{number:06d}.mp4", 1.0)
    lines = [f"{name},{number},{LABELS[number % 3]},train" for number, name in enumerate(names)]
    table.write_text("\n".join(lines) + "\n")
    command = [
        "embed", str(table), "--catalog-format", "vggsound", "--media-root", str(media), "--output", str(output),
        "--models", "miniature", "--set", "frames.frames_per_second=2.0", "--set", "limits.reject_grace=0",
    ]  # fmt: skip
    assert main(command) == 0
    assert "nothing rejected; missing: 4 sources that the listing names and nobody has" in capsys.readouterr().out
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["status"], summary["totals"]["rows_good"], summary["totals"]["rows_rejected"]) == ("done", 6, 0)
    assert summary["counts"]["sources_missing"] == summary["totals"]["sources_missing"] == 4

    assert main(command) == 0
    said = capsys.readouterr().out
    assert "nothing to do" in said
    assert "missing: 4 sources" in said

    helpers_catalog.video(media / f"{names[7]}_000007.mp4", 1.0)
    assert main(command) == 0
    assert "1 segments of 1 sources" in capsys.readouterr().out
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["totals"]["rows_good"], summary["totals"]["sources_missing"]) == (7, 3)
    labels = read_columns(str(output / "rows"), ["source_name", "label", "status"]).to_pylist()
    assert {row["label"] for row in labels if row["status"] == "ok"} == set(LABELS)
