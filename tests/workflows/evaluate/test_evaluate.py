from __future__ import annotations

import json
import shutil
from pathlib import Path

import helpers_outputs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers_evaluate import SAMPLING, job

from v2a_core import storage
from v2a_core.config import ConfigError, load
from v2a_core.metrics.extractors.clap import Clap
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.extractors.judge import Judge
from v2a_core.metrics.extractors.verdicts import VerdictSettings, find_judge, judge_fingerprint
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems.sets import file_entry, sound_set
from v2a_core.miniature.world import KINDS
from v2a_core.models import load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import read_columns
from v2a_core.outputs.unfinished import UnfinishedError
from v2a_core.tables.evaluated import ABOUT, carried_column
from v2a_core.tables.features import SOUNDS, carried
from v2a_core.verification import verify
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.evaluate import job as evaluate
from workflows.evaluate.asides import FolderAside
from workflows.evaluate.extraction import Asking, Extraction, bundle_weights, extract, feature_folder
from workflows.streaming.job import Models

PAPER = PROTOCOLS["paper"]


def verdicts_of(output, kind: str, judge: str) -> dict[str, dict]:
    """What a judge heard of the sounds of a kind, by their ids."""
    folder = feature_folder(f"{output}/features/{kind}", Weights("judge", "", judge_fingerprint(judge)), PAPER)
    columns = ["segment_id", "status", "reject_type", "silent", "verdict", "verdict_probability"]
    rows = read_columns(f"{folder}/rows", columns).to_pylist()
    found = {row["segment_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def heard_by_clap(output, kind: str) -> dict[str, np.ndarray]:
    """The embeddings of the sounds of a kind, by their ids."""
    (folder,) = (output / "features" / kind / "clap").iterdir()
    rows = read_columns(f"{folder}/rows", ["segment_id", "embedding"]).to_pylist()
    found = {row["segment_id"]: np.array(row["embedding"]) for row in rows if row["embedding"]}
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-3) for vector in found.values())
    return found


def rows_of(output) -> dict[str, list[dict]]:
    table = read_columns(f"{output}/rows", pq.read_schema(next((output / "rows").glob("part-*"))).names)
    ids = table["segment_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    found: dict[str, list[dict]] = {}
    for row in table.sort_by("segment_index").to_pylist():
        found.setdefault(row["source_name"], []).append(row)
    return found


@pytest.fixture(scope="module")
def soundtracks(made, tmp_path_factory):
    """What `v2a generate` makes of the catalog; then one of its files is damaged."""
    output = tmp_path_factory.mktemp("damaged") / "soundtracks"
    shutil.copytree(made.soundtracks, output)
    (victim,) = [row for row in helpers_outputs.index_rows(output) if row["source_name"] == "shard-000/key1.mp4"]
    Path(victim["audio_path"]).write_bytes(b"RIFF, it says")
    return str(output)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    Judge([*KINDS]).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def evaluated(ray_session, soundtracks, judge, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluation")
    summary = evaluate.run(soundtracks, str(output), job(f"extractors.judge.weights={judge}"), models="miniature")
    return output, summary


def test_a_row_a_segment_and_a_reject_for_a_broken_file(evaluated, judge):
    output, summary = evaluated
    found, heard, embedded = rows_of(output), verdicts_of(output, "made", judge), heard_by_clap(output, "made")
    assert {name: len(items) for name, items in found.items()} == {
        "rain/one.mp4": 3, "bell/one.mp4": 1, "bell/mute & odd%20[name].mp4": 1, "still.png": 1,
        "shard-000/key0.mp4": 1, "shard-000/key1.mp4": 1,
    }  # fmt: skip
    (broken,) = found["shard-000/key1.mp4"]
    assert (broken["status"], broken["reject_stage"]) == ("rejected", "read")
    assert "not a readable audio file" in broken["reject_message"]
    assert summary["counts"]["sources_rejected"] == 1
    for items in found.values():
        for row in items:
            if row["status"] == "ok":
                assert row["sound_id"] in embedded
                assert heard[row["sound_id"]]["verdict"] in KINDS
                assert row["similarity_to_condition"] is not None
                assert (row["similarity_to_caption"] is None) == (row["caption"] is None)


def test_a_sound_is_compared_with_the_condition_that_made_it(evaluated, soundtracks):
    found, heard = rows_of(evaluated[0]), heard_by_clap(evaluated[0], "made")
    made_of = [row for row in helpers_outputs.index_rows(soundtracks) if row["status"] == "ok"]
    assert len(made_of) == 6
    for made in made_of:
        good = [row for row in found[made["source_name"]] if row["status"] == "ok"]
        for row, condition in zip(good, made["conditions"], strict=False):
            assert np.linalg.norm(condition) == pytest.approx(1, abs=1e-3)
            assert row["similarity_to_condition"] == pytest.approx(np.dot(condition, heard[row["sound_id"]]), abs=1e-4)


def test_originals_are_compared_where_they_have_sound(evaluated):
    found = rows_of(evaluated[0])
    for name, hz in (("rain/one.mp4", 440), ("bell/one.mp4", 880), ("shard-000/key0.mp4", 440)):
        for row in found[name]:
            assert row["reference_note"] is None
            assert row["reference_pitch_hz"] == pytest.approx(hz, rel=0.05)
    # The table asks for its second second alone, and the sound is compared with that.
    assert found["bell/one.mp4"][0]["start_s"] == 0
    assert found["bell/mute & odd%20[name].mp4"][0]["reference_note"] == "no sound"
    assert found["still.png"][0]["reference_note"] == "an image has no sound"
    assert found["still.png"][0]["reference_onsets_s"] is None
    assert len(heard_by_clap(evaluated[0], "references")) == 6  # that of the broken soundtrack, too
    metrics = evaluated[1]["metrics"]
    assert metrics["clap_similarity_reference"]["count"] == 5
    assert metrics["clap_similarity_reference"]["extractor"] == "clap"


def test_what_the_judge_heard_lies_in_folders_that_the_one_pass_fills(evaluated, judge):
    made, references = (verdicts_of(evaluated[0], kind, judge) for kind in ("made", "references"))
    assert sorted(row["status"] for row in made.values()) == ["ok"] * 7 + ["rejected"]
    # Three segments and four other videos, of which one has no sound; the picture has no original.
    told = sorted((row["status"], row["reject_type"]) for row in references.values())
    assert told == [("ok", None)] * 6 + [("rejected", "NoSound")]
    assert all(0 < row["verdict_probability"] <= 1 for row in references.values() if row["status"] == "ok")
    for kind in ("made", "references"):
        (folder,) = (evaluated[0] / "features" / kind / "judge").iterdir()
        assert manifest.read(str(folder), job="extract")["counts"]["sources_done_now"] == 0
    assert verify(str(evaluated[0])).problems == []


def test_the_metrics_are_written_as_json_and_table(evaluated):
    output, summary = evaluated
    content = json.loads((output / "metrics.json").read_text())
    metrics = content["metrics"]
    assert metrics == json.loads(json.dumps(summary["metrics"]))
    assert content["counts"] == {"soundtracks": 6, "segments": 7, "rejected": 1}
    assert metrics["clap_frechet"]["value"] > 0
    assert metrics["class_accuracy"]["count"] == 6
    assert metrics["clap_similarity_condition"]["count"] == 7
    assert metrics["clap_similarity_caption"]["count"] == 6
    assert "Fréchet distance (CLAP)" in (output / "metrics.md").read_text()
    assert manifest.read(str(output), job="evaluate")["status"] == "done"


def test_a_second_run_does_nothing_and_says_the_same(evaluated, soundtracks, judge, capsys):
    output, summary = evaluated
    again = evaluate.run(soundtracks, str(output), job(f"extractors.judge.weights={judge}"), models="miniature")
    assert again["counts"]["sources_done_now"] == 0
    assert again["metrics"] == summary["metrics"]
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_embeddings_are_the_references_when_they_are_given(soundtracks, made, evaluated, tmp_path):
    """Embeddings of the same catalog: the same references as the originals themselves."""
    settings = load(EmbedJob, job="embed", overrides=[*SAMPLING, "encoders.precision=fp32"])
    embed.run(made.listed, str(tmp_path / "embeddings"), settings, models="miniature")
    output = tmp_path / "evaluation"
    settings = job("originals=false")
    summary = evaluate.run(
        soundtracks, str(output), settings, models="miniature", embeddings=str(tmp_path / "embeddings")
    )
    metrics, by_originals = summary["metrics"], evaluated[1]["metrics"]
    for name in ("clap_frechet", "clap_similarity_reference"):
        assert metrics[name]["value"] == pytest.approx(by_originals[name]["value"], abs=2e-3)
    assert "not_measured" in metrics["onset_agreement"]
    assert json.loads((output / "metrics.json").read_text())["references"].startswith("5 of 7")


def test_what_does_not_fit_is_refused(soundtracks, judge, tmp_path):
    with pytest.raises(ConfigError, match="not an output of `v2a generate`"):
        evaluate.run(str(tmp_path), str(tmp_path / "out"), job(), models="miniature")
    with pytest.raises(ConfigError, match=r"extractors\.judge\.weights = '/none'"):
        evaluate.run(soundtracks, str(tmp_path / "out"), job("extractors.judge.weights=/none"), models="miniature")
    with pytest.raises(ConfigError, match="not an output of `v2a embed`"):
        evaluate.run(soundtracks, str(tmp_path / "out"), job(), models="miniature", embeddings=judge)
    other = changed(soundtracks, tmp_path / "a", spaces={"vision": "v", "audio": "another:space"})
    with pytest.raises(ConfigError, match="audio space 'another:space'"):
        evaluate.run(other, str(tmp_path / "out"), job(), models="miniature")
    old = changed(soundtracks, tmp_path / "b", schema_version=4)
    with pytest.raises(ConfigError, match=r"schema version 4 .* make it anew, `v2a generate"):
        evaluate.run(old, str(tmp_path / "out"), job(), models="miniature")
    unfinished = changed(soundtracks, tmp_path / "c", status="running")
    with pytest.raises(ConfigError, match="not finished"):
        evaluate.run(unfinished, str(tmp_path / "out"), job(), models="miniature")
    plan = evaluate.run(
        unfinished, str(tmp_path / "out"), job("allow_unfinished=true"), models="miniature", dry_run=True, limit=3
    )
    assert (plan["listed"], plan["to_do"]) == (3, 3)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_sound_that_was_damaged_and_is_whole_again_is_heard(made, soundtracks, evaluated, judge, tmp_path):
    sounds, metrics = tmp_path / "sounds", tmp_path / "metrics"
    shutil.copytree(soundtracks, sounds)
    shutil.copytree(evaluated[0], metrics)
    assert [row["status"] for row in rows_of(metrics)["shard-000/key1.mp4"]] == ["rejected"]
    shutil.copy(next((made.soundtracks / "audio" / "shard-000").glob("key1-*.wav")), sounds / "audio/shard-000")
    summary = evaluate.run(str(sounds), str(metrics), job(f"extractors.judge.weights={judge}"), models="miniature")
    assert (summary["counts"]["sources_done_now"], summary["totals"]["rows_rejected"]) == (1, 0)
    assert [row["status"] for row in rows_of(metrics)["shard-000/key1.mp4"]] == ["ok"]
    assert verify(str(metrics)).problems == []


def changed(soundtracks: str, output: Path, **manifest_values) -> str:
    shutil.copytree(soundtracks, output)
    uri = str(output / "manifest.json")
    storage.write_json(uri, storage.read_json(uri) | manifest_values)
    return str(output)


def test_outputs_travel(soundtracks, evaluated, judge, tmp_path, monkeypatch):
    """Copied elsewhere and named by a relative path: nothing is lost, nothing is done again."""
    shutil.copytree(soundtracks, tmp_path / "elsewhere" / "sounds")
    shutil.copytree(evaluated[0], tmp_path / "metrics")
    monkeypatch.chdir(tmp_path / "elsewhere")
    summary = evaluate.run("sounds", "../metrics", job(f"extractors.judge.weights={judge}"), models="miniature")
    assert (summary["counts"]["sources_done_before"], summary["counts"]["sources_done_now"]) == (6, 0)
    assert summary["totals"]["rows_good"] == 7


@pytest.mark.slow
def test_a_sound_that_is_away_is_heard_by_the_next_run(soundtracks, judge, tmp_path, monkeypatch):
    shutil.copytree(soundtracks, tmp_path / "sounds")
    monkeypatch.chdir(tmp_path)
    lost = next(Path("sounds/audio/rain").glob("*.wav"))
    lost.rename("away.wav")
    settings = job(f"extractors.judge.weights={judge}", "originals=false")
    with pytest.raises(UnfinishedError, match=r"1 source could not be fetched .*no file .*sounds/audio/rain/one"):
        evaluate.run("sounds", "again", settings, models="miniature")
    Path("away.wav").rename(lost)
    summary = evaluate.run("sounds", "again", settings, models="miniature")
    assert (summary["counts"]["sources_done_now"], summary["totals"]["rows_good"]) == (1, 7)


@pytest.mark.slow
def test_another_judge_on_the_same_output_hears_what_it_has_not_and_nothing_else_is_heard(
    evaluated, soundtracks, judge, tmp_path, capsys
):
    output, summary = evaluated
    Judge(["rain", "bell"]).save(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in output.glob("**/part-*")}
    again = evaluate.run(soundtracks, str(output), job(f"extractors.judge.weights={tmp_path}"), models="miniature")
    assert again["counts"]["sources_done_now"] == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    new = {path.relative_to(output).parts[:3] for path in output.glob("**/part-*") if path not in before}
    assert new == {("features", "made", "judge"), ("features", "references", "judge")}
    heard = verdicts_of(output, "made", str(tmp_path))
    assert heard.keys() == verdicts_of(output, "made", judge).keys()
    assert {row["verdict"] for row in heard.values()} <= {"rain", "bell", None}
    accuracy = again["metrics"]["class_accuracy"]
    assert (accuracy["count"], accuracy["sha256"]) == (5, judge_fingerprint(str(tmp_path)))
    others = {name: told for name, told in summary["metrics"].items() if not name.startswith("class_accuracy")}
    assert others.items() <= again["metrics"].items()
    capsys.readouterr()
    first = evaluate.run(soundtracks, str(output), job(f"extractors.judge.weights={judge}"), models="miniature")
    assert first["metrics"] == summary["metrics"]
    told = capsys.readouterr().out
    assert told.count("nothing to do") == 1 + 2 * 2  # the rows; both sounds by CLAP, and by the judge


@pytest.mark.slow
def test_what_a_killed_run_did_not_write_aside_is_heard_by_the_next_one(evaluated, soundtracks, judge, tmp_path):
    """Rows are there, the folders that they were to fill are not, or not whole."""
    output = tmp_path / "metrics"
    shutil.copytree(evaluated[0], output)
    shutil.rmtree(output / "features" / "references" / "clap")
    folder = feature_folder(f"{output}/features/made", Weights("judge", "", judge_fingerprint(judge)), PAPER)
    next(Path(folder, "rows").glob("part-*")).unlink()
    summary = evaluate.run(soundtracks, str(output), job(f"extractors.judge.weights={judge}"), models="miniature")
    assert summary["counts"]["sources_done_now"] == 0
    for name, told in evaluated[1]["metrics"].items():
        # A span of a video is decoded by itself here, and with its neighbours before: a sample more or less.
        assert told.get("value") == pytest.approx(summary["metrics"][name].get("value"), abs=1e-3), name
    again, before = (verdicts_of(place, "made", judge) for place in (output, evaluated[0]))
    assert {name: row["verdict"] for name, row in again.items()} == {n: row["verdict"] for n, row in before.items()}
    assert heard_by_clap(output, "references").keys() == heard_by_clap(evaluated[0], "references").keys()


@pytest.mark.slow
def test_originals_that_are_away_are_done_without_and_made_sounds_are_not(ray_session, judge, tmp_path):
    sounds = sound_set([file_entry("a", "a", str(tmp_path / "none.wav"), "0" * 64)]).sounds()
    weights = find_judge(VerdictSettings(weights=judge), load_bundle("miniature"), load_bundle("miniature").resolve())
    given = (sounds, Asking(weights, PAPER), job(), {"models": "miniature"})
    with pytest.raises(UnfinishedError, match="1 source could not be fetched"):
        extract(str(tmp_path / "out"), *given)
    assert read_columns(extract(str(tmp_path / "out"), *given, optional=True), ["segment_id"]) is None


def test_a_folder_that_nothing_is_carried_to_is_not_claimed(tmp_path):
    """Such as that of references where there are none: no run would ever end it."""
    bundle = load_bundle("miniature")
    models = Models(bundle, bundle.resolve())
    asking = Asking(bundle_weights(job(), bundle, models.local)["clap"], PAPER)
    extraction = Extraction(models, job(), asking, SOUNDS.empty_table())
    aside = FolderAside(str(tmp_path / "clap"), ABOUT[1], extraction, lambda: None)
    aside.take(pa.table({carried_column("clap", ABOUT[1]): pa.nulls(2, carried(Clap.columns))}))
    aside.close()
    assert not (tmp_path / "clap").exists()
