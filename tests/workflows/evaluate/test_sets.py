"""Networks over soundtracks: heard once, kept apart, measured over whole sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from helpers_evaluate import job
from helpers_networks import published_weights

from v2a_core.config import ConfigError
from v2a_core.media.write import read_pcm
from v2a_core.metrics.extractors.networks import wav2clip
from v2a_core.metrics.frechet import frechet_distance
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.models.digests import sha256
from v2a_core.outputs.ledger import read_columns
from v2a_core.stages.sounds import SILENCE
from v2a_core.verification import verify
from workflows.evaluate import job as evaluate


@pytest.fixture(scope="module")
def soundtracks(made):
    return made.soundtracks


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "Wav2CLIP.pt"
    torch.save(published_weights("wav2clip"), path)
    return path


def features(output: Path, kind: str, extractor: str) -> Path:
    (folder,) = (output / "features" / kind / extractor).iterdir()
    return folder


@pytest.mark.slow  # a comparison of systems does the same, in test_systems.py
def test_a_network_hears_each_sound_once_as_it_is(soundtracks, weights, tmp_path, capsys):
    settings = job(f"extractors.wav2clip.weights={weights}")
    summary = evaluate.run(str(soundtracks), str(tmp_path), settings, models="miniature")
    made = features(tmp_path, "made", "wav2clip")
    table = read_columns(f"{made}/rows", ["content", "embedding", "sample_rate_hz", "start_s", "duration_s", "status"])
    rows = table.to_pylist()
    assert len(rows) == 8  # three of them are segments of one file
    assert {row["status"] for row in rows} == {"ok"}
    network = wav2clip.load(weights)
    by_content = {row["content"]: row for row in rows if row["start_s"] == 0 and row["duration_s"] > 0}
    for row in manifest_index(soundtracks):
        if len(row["segment_ids"]) == 1:
            pcm = read_pcm(soundtracks / row["audio_path"])
            heard = network.embed([PROTOCOLS["paper"].at_rate(pcm, 16_000)], 16_000)["embedding"][0]
            np.testing.assert_allclose(by_content[row["audio_sha256"]]["embedding"], heard, rtol=1e-4, atol=1e-4)
    references = read_columns(f"{features(tmp_path, 'references', 'wav2clip')}/rows", ["kind", "status", "reject_type"])
    found = sorted(
        (row["kind"], row["status"], row["reject_type"]) for row in references.to_pylist() if row["reject_type"]
    )
    assert found == [("video", "rejected", "NoSound")]
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert metrics == json.loads(json.dumps(summary["metrics"]))
    assert "names no checkpoint: give Cnn14_16k" in metrics["fd_cnn14_16k"]["not_measured"]
    assert "give --embeddings" in metrics["cs_wav2clip"]["not_measured"]
    assert "Not measured:" in capsys.readouterr().out
    for kind in ("made", "references"):
        assert verify(str(features(tmp_path, kind, "wav2clip"))).problems == []
    assert verify(str(tmp_path)).problems == []


@pytest.mark.slow
def test_how_many_sounds_a_network_has_nothing_of_is_told(soundtracks, weights, tmp_path):
    damaged = shutil.copytree(soundtracks, tmp_path / "damaged")
    victim = next(row for row in manifest_index(damaged) if len(row["segment_ids"]) == 1)
    (damaged / victim["audio_path"]).write_bytes(b"RIFF, it says")
    output = tmp_path / "out"
    evaluate.run(str(damaged), str(output), job(f"extractors.wav2clip.weights={weights}"), models="miniature")
    assert json.loads((output / "metrics.json").read_text())["not_heard"] == {"wav2clip": {"Changed": 1}}
    assert "- wav2clip: 1 (Changed 1)" in (output / "metrics.md").read_text()


def manifest_index(soundtracks: Path) -> list[dict]:
    """The good rows of an index."""
    found = read_columns(f"{soundtracks}/index", ["audio_path", "audio_sha256", "segment_ids"]).to_pylist()
    return [row for row in found if row["segment_ids"]]


def test_a_missing_checkpoint_is_told_before_anything_runs(soundtracks, tmp_path):
    with pytest.raises(ConfigError, match=r"extractors\.vggish\.weights = '/none\.pth'"):
        evaluate.run(
            str(soundtracks), str(tmp_path / "out"), job("extractors.vggish.weights=/none.pth"), models="miniature"
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_another_network_is_added_without_hearing_the_first_again(soundtracks, weights, tmp_path):
    """Distances, divergences and scores are those of the formulas over the files, heard by the networks themselves."""
    first = job(f"extractors.wav2clip.weights={weights}")
    evaluate.run(str(soundtracks), str(tmp_path / "out"), first, models="miniature")
    heard = {uri: Path(uri).stat().st_mtime_ns for uri in map(str, (tmp_path / "out").glob("features/**/part-*"))}
    paths = {name: tmp_path / f"{name}.pth" for name in ("cnn14-16k", "vggish")}
    for name, path in paths.items():
        torch.save(published_weights(name), path)
    both = [f"extractors.{name}.weights={path}" for name, path in paths.items()]
    settings = job(f"extractors.wav2clip.weights={weights}", *both)
    summary = evaluate.run(str(soundtracks), str(tmp_path / "out"), settings, models="miniature")
    assert summary["counts"]["sources_done_now"] == 0
    assert heard == {uri: Path(uri).stat().st_mtime_ns for uri in heard}

    made = read_columns(f"{features(tmp_path / 'out', 'made', 'cnn14-16k')}/rows", ["embedding", "logits", "status"])
    real = read_columns(f"{features(tmp_path / 'out', 'references', 'cnn14-16k')}/rows", ["embedding", "content"])
    real = real.filter(pc.and_(pc.is_valid(real["embedding"]), pc.not_equal(real["content"], SILENCE)))
    distance = frechet_distance(*(np.stack(table["embedding"].to_pylist()) for table in (made, real)))
    metrics = summary["metrics"]
    assert metrics["fd_cnn14_16k"]["value"] == pytest.approx(distance, rel=1e-6)
    assert (metrics["fd_cnn14_16k"]["count"], metrics["kl_cnn14_16k"]["count"]) == (8, real.num_rows)
    assert metrics["fd_cnn14_16k"]["sha256"] == sha256(paths["cnn14-16k"])
    assert metrics["fd_cnn14_16k"]["low"] < distance < metrics["fd_cnn14_16k"]["high"]
    assert {"silence", "real_halves"} & metrics["fd_cnn14_16k"]["beside"].keys()
    assert metrics["kl_cnn14_16k"]["beside"].keys() == {"shuffled_pairs", "silence"}
    assert "needs as many rows, not 8" in metrics["is_cnn14_16k"]["not_measured"]
    assert "more than 500 rows" in metrics["fd_infinity_cnn14_16k"]["not_measured"]
    assert metrics["fad_vggish"]["value"] > 0
    assert "FAD (VGGish)" in (tmp_path / "out" / "metrics.md").read_text()
