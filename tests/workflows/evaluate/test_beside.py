"""AV-Align of a job against the published script's way, and the references through VAE and vocoder beside a number."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePosixPath

import cv2
import librosa
import numpy as np
import pytest
import soundfile
import torch
from helpers_evaluate import job
from helpers_networks import published_weights, seeded_sounds

from v2a_core.media.encode import write_video
from v2a_core.metrics.frechet import frechet_distance
from v2a_core.outputs.ledger import read_columns
from v2a_core.tables import arrays
from v2a_core.verification import verify
from workflows.evaluate import systems

KEYS = [f"clip{number}" for number in range(4)]
FPS = 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def measured(ray_session, tmp_path_factory):
    """A system against videos in which something jumps while something sounds."""
    root = tmp_path_factory.mktemp("beside")
    for name in ("ours", "videos"):
        (root / name).mkdir()
    texture = np.random.default_rng(0).integers(0, 255, (48, 200, 3), np.uint8)
    texture = cv2.GaussianBlur(texture, (9, 9), 3)
    for number, (key, real) in enumerate(zip(KEYS, seeded_sounds([2.0] * len(KEYS)), strict=True)):
        soundfile.write(root / "ours" / f"{key}.wav", np.roll(real, 800 * number), 16_000, "FLOAT")
        places = np.cumsum([5 if index % (5 + number) == 4 else 0 for index in range(2 * FPS)])
        frames = [texture[:, place : place + 64] for place in places]
        write_video(root / "videos" / f"{key}.mp4", frames, FPS, real, 16_000)
    torch.save(published_weights("vggish"), root / "vggish.pth")
    settings = job(
        f"extractors.vggish.weights={root / 'vggish.pth'}",
        "extractors.motion.use=true",
        "round_trip=true",
        "metrics.resamples=20",
    )
    content = systems.run(
        {"ours": str(root / "ours")}, str(root / "videos"), str(root / "out"), settings, models="miniature"
    )
    return root, content["systems"]["ours"]


def published_score(video: Path, sound: Path) -> float:
    """One pair in the way of the published script."""
    samples, rate = librosa.load(sound)
    strength = librosa.onset.onset_strength(y=samples, sr=rate)
    onsets = librosa.frames_to_time(librosa.onset.onset_detect(onset_envelope=strength, sr=rate), sr=rate)
    capture, grays = cv2.VideoCapture(str(video)), []
    while (read := capture.read())[0]:
        grays.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY))
    flows = [
        cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        for before, after in itertools.pairwise(grays)
    ]
    lengths = [cv2.mean(cv2.magnitude(flow[..., 0], flow[..., 1]))[0] for flow in (flows[0], *flows)]
    inner = range(1, len(lengths) - 1)
    peaks = [n / FPS for n in inner if lengths[n - 1] < lengths[n] > lengths[n + 1] and lengths[n] >= 0.1]
    used = [False] * len(peaks)
    for onset in onsets:
        for place, peak in enumerate(peaks):
            if not used[place] and peak - 1 / FPS < onset < peak + 1 / FPS:
                used[place] = True
                break
    return sum(used) / (len(onsets) + len(peaks) - sum(used))


def test_av_align_is_that_of_the_published_script(measured):
    root, content = measured
    scores = [published_score(root / "videos" / f"{key}.mp4", root / "ours" / f"{key}.wav") for key in KEYS]
    found = content["av_align"]
    assert found["value"] == pytest.approx(np.mean(scores), rel=1e-3)
    assert 0 < found["value"] < 1
    assert found["count"] == len(KEYS)
    # Pairs are shuffled inside of groups of sources, of which each has one sound here.
    assert found["beside"].keys() == {"references", "vae_vocoder"}


def embeddings(root: Path, kind: str) -> np.ndarray:
    (folder,) = (root / "out" / "features" / kind / "vggish").iterdir()
    table = read_columns(f"{folder}/rows", ["source_name", "embedding"])
    pairs = zip(table["source_name"].to_pylist(), arrays.read_vectors(table["embedding"]), strict=True)
    rows = {PurePosixPath(name).stem: vector for name, vector in pairs if name != "silence"}
    assert sorted(rows) == KEYS
    return np.concatenate([rows[key].reshape(-1, 128) for key in KEYS])


def test_the_references_through_vae_and_vocoder_stand_beside_a_distance(measured):
    root, content = measured
    ceiling = content["fad_vggish"]["beside"]["vae_vocoder"]
    assert ceiling == pytest.approx(
        frechet_distance(embeddings(root, "round-trip"), embeddings(root, "references")), rel=1e-5
    )
    assert ceiling > 0
    assert "vae_vocoder" not in content["clap_frechet"].get("beside", {})  # CLAP's rows are of what systems made


def test_what_came_back_is_verified_too(measured):
    report = verify(str(measured[0] / "out"))
    assert report.problems == []
    assert sum("round-trip" in inside.output for inside in report.inside) == 2
