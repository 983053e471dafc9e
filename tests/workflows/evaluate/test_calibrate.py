"""Calibration on real jobs: the way of hearing that gave a number is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers_evaluate import job
from helpers_networks import published_weights, seeded_sounds

from v2a_core.media.write import read_pcm
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.extractors.networks import cnn14
from v2a_core.metrics.frechet import frechet_distance
from v2a_core.metrics.systems import calibration
from v2a_core.verification import verify
from workflows.cli.main import main
from workflows.evaluate import calibrate


@pytest.fixture(scope="module")
def places(ray_session, tmp_path_factory) -> Path:
    """Samples of a system and references, with much above 8 kHz and other sounds in the second channel."""
    root = tmp_path_factory.mktemp("calibrate")
    random = np.random.default_rng(0)
    for folder, level in (("samples", 0.3), ("real", 0.1)):
        (root / folder).mkdir()
        for number, low in enumerate(seeded_sounds([0.5] * 6, 48_000)):
            noise = level * random.standard_normal((len(low), 2)).astype(np.float32)
            both = np.stack([low, low[::-1]], axis=1) + noise
            soundfile.write(root / folder / f"clip{number}.wav", both, 48_000, "FLOAT")
    torch.save(published_weights("cnn14-16k"), root / "cnn14.pth")
    return root


def test_only_what_somebody_published_is_heard():
    """A network with videos in the one way of av-benchmark, no other but CNN14 decimated, and no motion."""
    weights = {name: Weights(name, "", "0" * 64) for name in ("cnn14-16k", "passt", "synchformer", "synchformer-video")}
    ways = calibrate._ways(calibrate._Calibrated("out", {}, None, None, weights))
    heard = {way.protocol.name: sorted(way.weights) for way in ways}
    assert heard.pop("sinc-mean-8s") == sorted(weights)
    assert heard.pop("sinc-first-10s") == ["cnn14-16k", "passt"]
    assert heard.pop("decimated-mean-8s") == ["cnn14-16k"]
    assert len(heard) == 5


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_cell_that_gave_a_number_is_named(places, tmp_path, monkeypatch):
    network = cnn14.load(places / "cnn14.pth")

    def heard(folder: str) -> np.ndarray:
        """First channel, without its mean, every third sample."""
        sounds = [read_pcm(path).samples_TC[:, 0].astype(np.float64) for path in sorted((places / folder).iterdir())]
        low = [(sound - sound.mean())[::3].astype(np.float32) for sound in sounds]
        return network.embed(low, 16_000)["embedding"]

    number = frechet_distance(heard("samples"), heard("real"))
    known = {"v2a-mapper": [calibration.Published("one", "FD", number), calibration.Published("one", "FAD", 0.8)]}
    monkeypatch.setattr(calibrate, "PUBLISHED", known)
    # Sounds of half a second are the same in 8 s and in 10 s.
    ways = [protocol for protocol in calibration.grid() if protocol.length_s == 10]
    monkeypatch.setattr(calibrate, "grid", lambda: ways)
    settings = job(f"extractors.cnn14-16k.weights={places / 'cnn14.pth'}")
    found = calibrate.run(
        {"v2a-mapper": str(places / "samples")},
        str(places / "real"),
        str(tmp_path / "out"),
        settings,
        models="miniature",
    )
    first, second = found["v2a-mapper"]["published"]
    assert first["cell"] == "decimated-first-10s"
    assert first["agrees"]
    assert first["value"] == pytest.approx(number, rel=1e-3)
    values = {cell: metrics["fd_cnn14_16k"]["value"] for cell, metrics in found["v2a-mapper"]["cells"].items()}
    assert len(values) == 4
    assert abs(values["sinc-first-10s"] / number - 1) > 0.05
    assert abs(values["decimated-mean-10s"] / number - 1) > 0.03
    assert "names no checkpoint" in second["not_measured"]
    assert json.loads((tmp_path / "out" / "calibration.json").read_text()) == json.loads(json.dumps(found))
    assert "| one | FD |" in (tmp_path / "out" / "calibration.md").read_text()
    assert verify(str(tmp_path / "out")).problems == []
    (tmp_path / "out" / "calibration.md").write_text("another")
    assert verify(str(tmp_path / "out")).problems[0].startswith("calibration.md")


def test_what_is_missing_is_said(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(100, np.float32), 16_000)
    for arguments, message in (
        (["--system", f"a={tmp_path}"], "--calibrate needs --system NAME=PLACE and --references PLACE"),
        (["--system", f"a={tmp_path}", "--references", str(tmp_path)], "--calibrate needs a network at least"),
    ):
        asked = ["evaluate", "--calibrate", *arguments, "--output", str(tmp_path / "out"), "--models", "miniature"]
        assert main(asked) == 2
        assert message in capsys.readouterr().err
