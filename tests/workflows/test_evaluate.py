from __future__ import annotations

import json

import helpers_catalog
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from v2a_core import manifest, storage
from v2a_core.catalog import CatalogSettings, list_sources, plan_segments, source_id
from v2a_core.config import ConfigError, load
from v2a_core.ledger import read_columns
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.write import write_audio
from v2a_core.miniature.judge import Judge
from v2a_core.miniature.world import KINDS
from v2a_core.models import load_bundle
from v2a_core.schema import EMBEDDING_DIM, INDEX
from workflows import evaluate
from workflows.evaluate_config import EvaluateJob

RATE = 16_000
SEGMENTS, FRAMES = SegmentSettings(length_s=1.0, min_length_s=0.4), FrameSettings(image_segment_s=1.0)
SETTINGS = ("encoders.precision=fp32", "metrics.resamples=50", "metrics.frechet_resamples=5", "output.interval_s=0")


def job(*overrides: str) -> EvaluateJob:
    return load(EvaluateJob, job="evaluate", overrides=[*SETTINGS, *overrides])


def tone(seconds: float, hz: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def write_soundtracks(output, catalog, *, status="done", columns=("start_s", "conditions"), spaces=None) -> str:
    """What `v2a generate` would have written for a catalog, with tones as soundtracks and one file cut short."""
    local = load_bundle("miniature").resolve()
    spaces = spaces or {"vision": local.vision_space, "audio": local.audio_space}
    items = []
    for number, source in enumerate(list_sources([str(catalog)], CatalogSettings()).sources):
        seconds = {"mute & odd%20[name].mp4": 1.2, "one.mp4": 2.5}.get(source.name.rpartition("/")[2], 1.0)
        identity = source_id(source, SEGMENTS, FRAMES)
        audio = output / "audio" / f"{identity}.wav"
        audio.parent.mkdir(parents=True, exist_ok=True)
        write_audio(audio, tone(seconds, 440 + 20 * number), RATE, "wav")
        if source.name == "broken.mp4":
            audio.write_bytes(b"RIFF, it says")
        segments = plan_segments(identity, seconds, source, SEGMENTS)
        conditions = np.random.default_rng(number).normal(size=(len(segments), EMBEDDING_DIM)).astype(np.float32)
        items.append(
            {
                "source_id": identity,
                "source_uri": source.uri,
                "source_name": source.name,
                "kind": source.kind,
                "label": source.label or source.name.partition("/")[0],
                "caption": f"a sound, number {number}",
                "duration_s": seconds,
                "segment_ids": [segment.segment_id for segment in segments],
                "audio_uri": str(audio),
                "sample_rate_hz": RATE,
                "seed": 0,
                "status": "ok",
                "start_s": None,
                "conditions": conditions.tolist(),
            }
        )
    extra = {"start_s": pa.float64(), "conditions": pa.list_(pa.list_(pa.float32(), EMBEDDING_DIM))}
    fields = [*INDEX, *(pa.field(name, extra[name]) for name in columns if name not in INDEX.names)]
    table = pa.Table.from_pylist(items, schema=pa.schema(fields))
    storage.write_bytes(str(output / "index" / "part-0.parquet"), b"")
    pq.write_table(table, output / "index" / "part-0.parquet")
    made_by = manifest.new(
        "generate", identity={"segments": SEGMENTS.model_dump()}, config={}, bundle={}, spaces=spaces
    )
    manifest.open_output(str(output), made_by)
    manifest.close_output(str(output), made_by, {"status": status, "counts": {}})
    return str(output)


def rows_of(output) -> dict[str, list[dict]]:
    table = read_columns(f"{output}/rows", pq.read_schema(next((output / "rows").glob("part-*"))).names)
    ids = table["segment_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    found: dict[str, list[dict]] = {}
    for row in table.sort_by("segment_index").to_pylist():
        found.setdefault(row["source_name"], []).append(row)
    return found


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return helpers_catalog.catalog(tmp_path_factory.mktemp("world") / "catalog")


@pytest.fixture(scope="module")
def soundtracks(catalog, tmp_path_factory):
    return write_soundtracks(tmp_path_factory.mktemp("soundtracks"), catalog)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    Judge([*KINDS]).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def evaluated(ray_session, soundtracks, judge, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluation")
    summary = evaluate.run(soundtracks, str(output), job(f"judge={judge}"), models="miniature")
    return output, summary


def test_a_row_a_segment_and_a_reject_for_a_broken_file(evaluated):
    output, summary = evaluated
    found = rows_of(output)
    assert {name: len(items) for name, items in found.items()} == {
        "rain/one.mp4": 3, "bell/one.mp4": 3, "bell/mute & odd%20[name].mp4": 1, "still.png": 1, "broken.mp4": 1,
        "shard-000/key0.mp4": 1, "shard-000/key1.mp4": 1,
    }  # fmt: skip
    (broken,) = found["broken.mp4"]
    assert (broken["status"], broken["reject_stage"]) == ("rejected", "read")
    assert "not a readable audio file" in broken["reject_message"]
    assert summary["counts"]["sources_rejected"] == 1
    for items in found.values():
        for row in items:
            if row["status"] == "ok":
                assert np.linalg.norm(row["clap_embedding"]) == pytest.approx(1, abs=1e-3)
                assert row["verdict"] in KINDS
                assert -1 <= row["similarity_to_condition"] <= 1
                assert -1 <= row["similarity_to_caption"] <= 1


def test_originals_are_compared_where_they_have_sound(evaluated):
    found = rows_of(evaluated[0])
    for name, hz in (("rain/one.mp4", 440), ("bell/one.mp4", 880), ("shard-000/key0.mp4", 440)):
        for row in found[name]:
            assert row["reference_note"] is None
            assert row["reference_pitch_hz"] == pytest.approx(hz, rel=0.05)
            assert np.linalg.norm(row["reference_embedding"]) == pytest.approx(1, abs=1e-3)
    assert found["bell/mute & odd%20[name].mp4"][0]["reference_note"] == "no sound"
    assert found["still.png"][0]["reference_note"] == "an image has no sound"
    assert found["still.png"][0]["reference_onsets_s"] is None


def test_only_labels_that_the_judge_knows_are_classes(evaluated):
    found = rows_of(evaluated[0])
    assert found["rain/one.mp4"][0]["judged_class"] == "rain"
    assert found["still.png"][0]["judged_class"] is None


def test_the_metrics_are_written_as_json_and_table(evaluated):
    output, summary = evaluated
    content = json.loads((output / "metrics.json").read_text())
    metrics = content["metrics"]
    assert metrics == json.loads(json.dumps(summary["metrics"]))
    assert content["counts"] == {"soundtracks": 7, "segments": 10, "rejected": 1}
    assert metrics["clap_frechet"]["value"] > 0
    assert metrics["class_accuracy"]["count"] == 8
    assert metrics["clap_similarity_condition"]["count"] == metrics["clap_similarity_caption"]["count"] == 10
    assert "Fréchet distance (CLAP)" in (output / "metrics.md").read_text()
    assert manifest.read(str(output), job="evaluate")["status"] == "done"


def test_a_second_run_does_nothing_and_says_the_same(evaluated, soundtracks, judge, capsys):
    output, summary = evaluated
    again = evaluate.run(soundtracks, str(output), job(f"judge={judge}"), models="miniature")
    assert again["counts"]["sources_done_now"] == 0
    assert again["metrics"] == summary["metrics"]
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_embeddings_are_the_references_when_they_are_given(ray_session, soundtracks, evaluated, tmp_path):
    """Embeddings of the made sounds themselves: every made sound is at its reference."""
    local = load_bundle("miniature").resolve()
    table = read_columns(f"{evaluated[0]}/rows", ["segment_id", "clap_embedding"])
    embeddings = tmp_path / "embeddings"
    embeddings.mkdir()
    (embeddings / "rows").mkdir()
    pq.write_table(table, embeddings / "rows" / "part-0.parquet")
    spaces = {"vision": local.vision_space, "audio": local.audio_space}
    manifest.open_output(str(embeddings), manifest.new("embed", identity={}, config={}, bundle={}, spaces=spaces))
    output = tmp_path / "evaluation"
    settings = job("originals=false", "metrics.frechet_resamples=0")
    summary = evaluate.run(soundtracks, str(output), settings, models="miniature", embeddings=str(embeddings))
    metrics = summary["metrics"]
    assert metrics["clap_frechet"]["value"] == pytest.approx(0, abs=1e-4)
    assert metrics["clap_similarity_reference"]["value"] == pytest.approx(1, abs=1e-3)
    assert "not_measured" in metrics["onset_agreement"]
    assert metrics["class_accuracy"]["value"] < 0.5  # by the bundle's own judge: the sounds are tones
    assert json.loads((output / "metrics.json").read_text())["references"].startswith("10 of 10")


def test_what_does_not_fit_is_refused(soundtracks, catalog, judge, tmp_path):
    with pytest.raises(ConfigError, match="not an output of `v2a generate`"):
        evaluate.run(str(tmp_path), str(tmp_path / "out"), job(), models="miniature")
    with pytest.raises(ConfigError, match="judge = '/none'"):
        evaluate.run(soundtracks, str(tmp_path / "out"), job("judge=/none"), models="miniature")
    with pytest.raises(ConfigError, match="not an output of `v2a embed`"):
        evaluate.run(soundtracks, str(tmp_path / "out"), job(), models="miniature", embeddings=judge)
    other = write_soundtracks(tmp_path / "a", catalog, spaces={"vision": "v", "audio": "another:space"})
    with pytest.raises(ConfigError, match="audio space 'another:space'"):
        evaluate.run(other, str(tmp_path / "out"), job(), models="miniature")
    unfinished = write_soundtracks(tmp_path / "b", catalog, status="stopped", columns=())
    with pytest.raises(ConfigError, match="not finished"):
        evaluate.run(unfinished, str(tmp_path / "out"), job(), models="miniature")
    plan = evaluate.run(
        unfinished, str(tmp_path / "out"), job("allow_unfinished=true"), models="miniature", dry_run=True, limit=3
    )
    assert (plan["listed"], plan["to_do"]) == (3, 3)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_another_judge_on_the_same_output_is_refused(evaluated, soundtracks, tmp_path):
    Judge(["rain", "bell"]).save(tmp_path)
    with pytest.raises(ConfigError, match=r"identity\.judge"):
        evaluate.run(soundtracks, str(evaluated[0]), job(f"judge={tmp_path}"), models="miniature")
