from __future__ import annotations

import html
import json
from dataclasses import asdict

import pytest
from helpers_verify import check

from v2a_core.miniature.world.write import write_demo_catalog
from v2a_core.outputs.ledger import read_columns
from workflows.demo import job as demo


@pytest.mark.slow  # its jobs are those of the quick start
@pytest.mark.timeout(280)
@pytest.mark.parametrize("clips", [2, 18])
def test_the_demo_runs_all_jobs_and_writes_a_page(ray_session, tmp_path, capsys, clips):
    if clips < 18:  # an earlier call wrote a catalog, a smaller one
        lessons = {"train": 6, "validation": 6}
        catalog = write_demo_catalog(tmp_path, size=96, clips=clips, lessons=lessons)
        (tmp_path / "catalog.json").write_text(json.dumps(asdict(catalog)))
    page = demo.run(str(tmp_path))
    text = page.read_text(encoding="utf-8")
    assert "ntrained weights" not in text
    assert text.count("the judge heard") == clips + 1  # and a still
    index = read_columns(str(tmp_path / "soundtracks" / "index"), ["source_name", "status", "label", "reject_message"])
    rows = index.to_pylist()
    assert len({row["label"] for row in rows if row["label"]}) >= min(clips, 8)
    (broken,) = [row for row in rows if row["status"] != "ok"]
    assert broken["source_name"] in text
    assert html.escape(broken["reject_message"]) in text
    assert "moments at which something is seen to begin" in text
    for job in ("embeddings", "soundtracks", "metrics"):
        assert json.loads((tmp_path / job / "manifest.json").read_text())["bundle"]["trained"] is True
    identity = json.loads((tmp_path / "soundtracks" / "manifest.json").read_text())["identity"]
    assert identity["timing"]["predictor"]["kind"] == "gru"
    metrics = json.loads((tmp_path / "metrics" / "metrics.json").read_text())["metrics"]
    assert metrics["class_accuracy"]["value"] >= (0.6 if clips == 18 else 0)  # few lessons teach little
    assert f"open {page}" in capsys.readouterr().out
    report = check(tmp_path)
    assert (report.job, report.problems) == ("demo", [])
    demo.run(str(tmp_path))
    assert capsys.readouterr().out.count("nothing to do") == 4


def test_a_bucket_is_no_place_for_a_page(ray_session):
    from v2a_core.config import ConfigError

    with pytest.raises(ConfigError, match="give a local folder"):
        demo.run("memory://demo")
