"""ImageBind's score of a whole job with towers of the published size, whose weights are such that it is known."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from helpers_evaluate import job
from helpers_networks import blank_weights, seeded_film, seeded_sounds

from v2a_core.media.encode import write_video
from v2a_core.metrics.extractors.networks.imagebind import EMBEDDING, SoundTower, VideoTower
from v2a_core.models.unset import UnsetWeights
from v2a_core.verification import verify
from workflows.evaluate import systems

KEYS = ["one", "two"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def one_direction(kind, seed: int) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """Weights, a few kilobytes in a file, with which everything is embedded in one direction, and that direction."""
    with torch.device("meta"), UnsetWeights():
        weights = blank_weights(kind().state_dict())
    direction = torch.from_numpy(np.random.default_rng(seed).normal(size=(EMBEDDING, 1)).astype(np.float32))
    head = f"modality_heads.{kind.modality}"
    width = len(weights[f"{head}.0.bias"])
    return weights | {
        f"{head}.0.bias": torch.ones(()).expand(width),
        f"{head}.2.weight": direction.expand(EMBEDDING, width),
    }, direction[:, 0].numpy()


def test_the_score_is_the_cosine_of_what_is_heard_and_seen(ray_session, tmp_path):
    (heard, sound_E), (seen, video_E) = one_direction(SoundTower, 0), one_direction(VideoTower, 1)
    text = {"modality_heads.text.proj.1.weight": torch.zeros(1)}
    torch.save(heard | seen | text, tmp_path / "imagebind_huge.pth")
    for name in ("ours", "videos"):
        (tmp_path / name).mkdir()
    for key, sound in zip(KEYS, seeded_sounds([2.0] * len(KEYS)), strict=True):
        soundfile.write(tmp_path / "ours" / f"{key}.wav", sound, 16_000, "FLOAT")
        write_video(tmp_path / "videos" / f"{key}.mp4", list(seeded_film(8, 48, 64)), 4, sound, 16_000)
    settings = job(f"extractors.imagebind.weights={tmp_path / 'imagebind_huge.pth'}", "protocol=av-benchmark")
    output = str(tmp_path / "out")
    content = systems.run(
        {"ours": str(tmp_path / "ours")}, str(tmp_path / "videos"), output, settings, models="miniature"
    )
    found = content["systems"]["ours"]["ib"]
    cosine = float(sound_E @ video_E / np.linalg.norm(sound_E) / np.linalg.norm(video_E))
    assert found["value"] == pytest.approx(cosine, abs=1e-5)
    assert found["beside"]["references"] == pytest.approx(cosine, abs=1e-5)
    assert (found["count"], found["protocol"]["length_s"], found["protocol"]["channels"]) == (2, "whole", "first")
    assert content["not_heard"] == {}
    report = verify(output)
    assert report.problems == []
    assert sum("imagebind-video" in inside.output for inside in report.inside) == 1
