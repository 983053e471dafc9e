"""`v2a page`: what an output of soundtracks and its metrics hold becomes a page; nothing of it needs Ray."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from v2a_core.config import ConfigError
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.extractors.verdicts import Verdicts
from v2a_core.outputs import manifest
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.report import read_report
from v2a_core.storage import join
from v2a_core.tables.features import feature_schema
from v2a_core.tables.schema import INDEX
from workflows.cli.main import main

BUNDLE = {"name": "miniature", "trained": True, "fingerprints": {"vision": "c" * 64, "generator": "d" * 64}}
MADE_BY = {
    "seed": 7,
    "mapper": "e" * 64,
    "generator": {"sampler": "ddim", "num_inference_steps": 10, "guidance_scale": 2.5},
}
THEN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def write(folder, job, schema, rows, id_column, inside, identity):
    made_by = manifest.new(job, identity=identity, config={}, bundle=BUNDLE, spaces={})
    manifest.open_output(str(folder), made_by)
    writer = PartWriter(
        join(str(folder), inside), schema, id_column=id_column, seen=set(), settings=PartSettings(), metadata={}
    )
    writer.add(pa.Table.from_pylist(rows, schema=schema))
    writer.flush()
    manifest.close_output(str(folder), made_by, {"status": "done", "counts": {}}, writer.written)


def index_row(number, **more):
    name = f"clip {number}.mp4"
    return {
        "source_id": f"id-{number}",
        "source_key": f"key-{number}",
        "source_uri": f"/nowhere/{name}",
        "source_name": name,
        "kind": "image",
        "label": "rain" if number % 2 else "bell",
        "duration_s": 0.5,
        "audio_path": f"audio/{number}.wav",
        "status": "ok",
        "recorded_at": THEN,
        **more,
    }


REJECT = {
    "audio_path": None,
    "status": "rejected",
    "reject_stage": "probe",
    "reject_type": "InvalidDataError",
    "reject_message": "not a readable <b>video</b>",
    "attempts": 1,
}


@pytest.fixture
def soundtracks(tmp_path):
    folder = tmp_path / "soundtracks"
    (folder / "audio").mkdir(parents=True)
    for number in range(4):
        tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000) / 3
        soundfile.write(folder / "audio" / f"{number}.wav", tone, 16_000)
    rows = [*(index_row(number) for number in range(4)), index_row(4, **REJECT)]
    write(folder, "generate", INDEX, rows, "source_id", "index", MADE_BY)
    return folder


@pytest.fixture
def metrics(tmp_path):
    folder = tmp_path / "metrics"
    evaluated = [
        {
            **{name: index_row(1)[name] for name in ("source_id", "source_key", "source_uri", "source_name", "kind")},
            "segment_id": f"segment-{number}",
            "segment_index": number,
            "segment_count": 2,
            "label": "rain",
            "sound_id": f"sound-{number}",
            "similarity_to_condition": similarity,
            "status": "ok",
            "recorded_at": THEN,
        }
        for number, similarity in enumerate((0.25, 0.75))
    ]
    write(folder, "evaluate", evaluated_schema(), evaluated, "segment_id", "rows", {})
    heard = [
        {
            **dict.fromkeys(("segment_id", "source_id", "source_key", "content"), f"sound-{number}"),
            **dict.fromkeys(("source_uri", "source_name", "kind"), "audio"),
            **{"segment_index": 0, "segment_count": 1, "status": "ok", "recorded_at": THEN},
            "verdict": "rain",
            "verdict_probability": 0.75,
        }
        for number in range(2)
    ]
    place = "features/made/judge/0-paper"
    write(folder / place, "extract", feature_schema(Verdicts.columns), heard, "segment_id", "rows", {})
    score = {"title": "CLAP similarity", "better": "higher", "value": 0.5, "low": 0.25, "high": 0.75}
    unmeasured = {"title": "Nothing", "better": "lower", "reason": "none"}
    content = {"metrics": {"similarity": score, "nothing": unmeasured}, "verdicts": f"{place}/rows"}
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def test_a_page_of_any_soundtracks(soundtracks, metrics, capsys):
    assert main(["page", str(soundtracks), "--metrics", str(metrics)]) == 0
    page = soundtracks / "index.html"
    assert f"page: 4 soundtracks, 1 rejects -> {page}" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert text.count('<article class="card"') == 4
    assert "not a readable &lt;b&gt;video&lt;/b&gt;" in text
    assert "the judge heard <strong>rain</strong> (75&nbsp;%)" in text
    assert "similarity to its condition <strong>0.50" in text
    assert "0.250 to 0.750" in text
    assert "ddim, 10 steps, guidance 2.5" in text
    assert str(soundtracks.parent) not in text


def test_a_moved_folder_gives_the_same_page(soundtracks):
    assert main(["page", str(soundtracks)]) == 0
    first = (soundtracks / "index.html").read_text()
    moved = soundtracks.parent / "elsewhere" / "moved"
    moved.parent.mkdir()
    shutil.move(soundtracks, moved)
    assert main(["page", str(moved)]) == 0
    assert (moved / "index.html").read_text() == first


def test_a_limit_is_told_on_the_page_and_on_the_terminal(soundtracks, capsys):
    assert main(["page", str(soundtracks), "--limit", "3"]) == 0
    assert "the first 3 of 4 soundtracks (--limit 4 shows all)" in capsys.readouterr().out
    assert "<strong>3</strong> soundtracks of 4" in (soundtracks / "index.html").read_text()


def test_a_limit_holds_for_rejects_too(tmp_path):
    folder = tmp_path / "soundtracks"
    rows = [index_row(number, **REJECT) for number in range(3)]
    write(folder, "generate", INDEX, rows, "source_id", "index", MADE_BY)
    report = read_report(str(folder), limit=2)
    assert (len(report.rejects), report.rejected, report.total) == (2, 3, 0)
    assert main(["page", str(folder), "--limit", "2"]) == 0
    text = (folder / "index.html").read_text()
    assert "3 sources rejected" in text
    assert "The first 2 of 3." in text


@pytest.mark.parametrize("output", ["site/listen.html", "site"])
def test_a_page_elsewhere_takes_its_media_along(soundtracks, tmp_path, output):
    assert main(["page", str(soundtracks), "--output", str(tmp_path / output)]) == 0
    (page,) = (tmp_path / "site").glob("*.html")
    assert len(list((page.parent / "page-media").glob("*.wav"))) == 4


def test_what_is_no_output_of_generate_is_refused(soundtracks, metrics, tmp_path, capsys):
    assert main(["page", str(tmp_path)]) == 2
    assert main(["page", str(metrics)]) == 2
    assert main(["page", str(soundtracks), "--metrics", str(soundtracks)]) == 2
    assert main(["page", str(soundtracks), "--set", "storage.nonsense=1"]) == 2
    assert "storage.nonsense" in capsys.readouterr().err


def test_metrics_of_other_soundtracks_are_refused(metrics, tmp_path):
    other = tmp_path / "other"
    rows = [index_row(0, audio_path=None, source_id="another")]
    write(other, "generate", INDEX, rows, "source_id", "index", MADE_BY)
    with pytest.raises(ConfigError, match="no row of these soundtracks"):
        read_report(str(other), str(metrics))


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/passwd", "audio/../../secret.wav", "file:///etc/passwd"])
def test_an_index_that_names_files_outside_is_refused(tmp_path, path, capsys):
    folder = tmp_path / "soundtracks"
    write(folder, "generate", INDEX, [index_row(0, audio_path=path)], "source_id", "index", MADE_BY)
    assert main(["page", str(folder), "--output", str(tmp_path / "site")]) == 2
    assert path in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_a_bucket_gets_its_page(soundtracks, s3_server, monkeypatch):
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="pages")
    for file in soundtracks.rglob("*"):
        if file.is_file():
            client.upload_file(str(file), "pages", f"v2a/{file.relative_to(soundtracks).as_posix()}")
    assert main(["page", "s3://pages/v2a", "--set", "storage.region=us-east-1"]) == 0
    text = client.get_object(Bucket="pages", Key="v2a/index.html")["Body"].read().decode()
    assert 'data-audio="./audio/1.wav"' in text
    assert client.head_object(Bucket="pages", Key="v2a/index.html")["ContentType"] == "text/html"
    assert client.head_object(Bucket="pages", Key="v2a/page-media/0000-made.png")["ContentType"] == "image/png"
    local = Path(soundtracks.parent / "here" / "page.html")
    assert main(["page", "s3://pages/v2a", "--output", str(local), "--set", "storage.region=us-east-1"]) == 0
    assert (local.parent / "page-media" / "0003-made.wav").is_file()
