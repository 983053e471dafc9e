"""The soundtrack of one video, by one call."""

from __future__ import annotations

import json
import shutil

import helpers_adapter
import helpers_catalog
import numpy as np
import pytest
import soundfile

import v2a_core
from v2a_core.config import ConfigError
from v2a_core.media.types import MediaError
from v2a_core.models import load_bundle

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0",
    "generator.num_inference_steps=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def mapper(tmp_path_factory):
    return helpers_catalog.random_mapper(tmp_path_factory.mktemp("mapper"), load_bundle("miniature").resolve())


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return str(helpers_catalog.video(tmp_path_factory.mktemp("video") / "in.mp4", 2.5))


def made(video: str, mapper: str, *more: str, **options) -> np.ndarray:
    sound = v2a_core.soundtrack(video, mapper, models="miniature", settings=[*SETTINGS, *more], **options)
    assert sound.waveform.dtype == np.float32
    assert sound.sample_rate == 16_000
    return sound.waveform


def test_a_video_has_a_soundtrack_of_its_length(video, mapper, monkeypatch, tmp_path):
    waveform = made(video, mapper)
    assert len(waveform) == pytest.approx(2.5 * 16_000, abs=10)
    assert 0.01 < np.abs(waveform).max() <= 1
    # The same again, also by a relative path, and another one by another seed or other words.
    monkeypatch.chdir(video.removesuffix("/in.mp4"))
    np.testing.assert_array_equal(made("in.mp4", mapper), waveform)
    np.testing.assert_array_equal(made(video, mapper, seed=0), waveform)
    np.testing.assert_array_equal(made(video, mapper, seed=3), made(video, mapper, "seed=3"))
    for other in ({"seed": 3}, {"prompt": "a dog barks"}, {"negative_prompt": "wind"}):
        assert np.abs(made(video, mapper, **other) - waveform).max() > 1e-3
    assert made(video, "none").shape == waveform.shape
    assert made(video, mapper, "candidates.count=2").shape == waveform.shape
    assert not list(tmp_path.iterdir())


def test_a_curve_is_followed(video, mapper, tmp_path):
    adapter = str(helpers_adapter.random_adapter(tmp_path / "adapter", load_bundle("miniature").resolve()))
    (tmp_path / "curve.csv").write_text("time_s,level,onset\n0,0.1,0\n1.5,0.1,0\n1.5,1,1\n2.5,0.2,0\n")
    curve = str(tmp_path / "curve.csv")
    followed, free = made(video, mapper, curve=curve, adapter=adapter), made(video, mapper)
    assert np.abs(followed - free).max() > 1e-3
    np.testing.assert_array_equal(made(video, mapper, curve=curve, adapter=adapter), followed)
    np.testing.assert_array_equal(made(video, mapper, "generator.adapter.scale=0", curve=curve, adapter=adapter), free)
    soundfile.write(tmp_path / "sound.wav", followed, 16_000)
    assert np.abs(made(video, mapper, reference_audio=str(tmp_path / "sound.wav"), adapter=adapter) - free).max() > 1e-3
    with pytest.raises(ConfigError, match="are two curves"):
        made(video, mapper, curve=curve, reference_audio=curve)
    with pytest.raises(ConfigError, match="has nothing to follow"):
        made(video, mapper, adapter=adapter)
    with pytest.raises(ConfigError, match="there is no file"):
        made(video, mapper, curve=str(tmp_path / "gone.csv"), adapter=adapter)


def test_what_is_wrong_is_said(mapper, tmp_path):
    broken = str(helpers_catalog.corrupt(tmp_path / "broken.mp4"))
    with pytest.raises(MediaError):
        made(broken, mapper)
    with pytest.raises(ConfigError, match=r"gone\.mp4"):
        made(str(tmp_path / "gone.mp4"), mapper)
    helpers_catalog.video(tmp_path / "two" / "a.mp4", 1.0)
    helpers_catalog.video(tmp_path / "two" / "b.mp4", 1.0)
    with pytest.raises(ConfigError, match="holds 2 videos: name one"):
        made(str(tmp_path / "two"), mapper)
    with pytest.raises(ConfigError, match="guidance_skale"):
        made(broken, mapper, "generator.guidance_skale=3")
    with pytest.raises(ConfigError, match="no config"):
        made(str(tmp_path / "two" / "a.mp4"), str(tmp_path))


def test_the_library_loads_no_models_before_they_are_asked_for():
    with pytest.raises(AttributeError, match="no attribute 'soundtracks'"):
        _ = v2a_core.soundtracks


def test_a_mapper_of_other_segments_is_told(video, mapper, tmp_path):
    folder = tmp_path / "mapper"
    shutil.copytree(mapper, folder)
    told = json.loads((folder / "config.json").read_text())
    told["training"] = {"cut": {"segments.length_s": 10.0, "segments.whole": False, "frames.frames_per_second": 2.0}}
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.warns(UserWarning, match=r"was trained on embeddings with segments.length_s = 10.0, now 1.0: its"):
        made(video, str(folder))
