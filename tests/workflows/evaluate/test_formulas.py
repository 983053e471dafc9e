"""The job's numbers of whole sets against formulas written anew, over the very features that the job wrote."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import soundfile
import torch
from helpers_evaluate import job
from helpers_networks import published_weights, seeded_sounds

from v2a_core.config import load
from v2a_core.media.encode import write_video
from v2a_core.outputs.ledger import read_columns
from v2a_core.tables import arrays
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.evaluate import systems

KEYS = [f"clip{number:02d}" for number in range(14)]
NETWORKS = ("cnn14-16k", "vggish", "wav2clip")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # nine jobs on Ray


@pytest.fixture(scope="module")
def measured(ray_session, tmp_path_factory):
    """Two systems against videos with sound: the comparison's folder and what it says."""
    root = tmp_path_factory.mktemp("formulas")
    lengths = [1.0 + 0.05 * (number % 4) for number in range(2 * len(KEYS))]
    sounds, wide = seeded_sounds(lengths), seeded_sounds(lengths, 44_100)
    for number, key in enumerate(KEYS):
        ours, real, theirs = sounds[2 * number], sounds[2 * number + 1], wide[number]
        for system, samples, rate in (("ours", ours, 16_000), ("theirs", np.stack([theirs] * 2, axis=1), 44_100)):
            (root / system).mkdir(exist_ok=True)
            soundfile.write(root / system / f"{key}.wav", samples, rate, "FLOAT")
        frames = np.random.default_rng(number).integers(0, 255, (8, 48, 64, 3), np.uint8)
        (root / "videos").mkdir(exist_ok=True)
        write_video(root / "videos" / f"{key}.mp4", frames, 8, real, 16_000)
    weights = []
    for name in NETWORKS:
        torch.save(published_weights(name), root / f"{name}.pth")
        weights.append(f"extractors.{name}.weights={root / name}.pth")
    embedding = load(EmbedJob, job="embed", overrides=["encoders.precision=fp32"])
    embed.run([str(root / "videos")], str(root / "embeddings"), embedding, models="miniature")
    named = {name: str(root / name) for name in ("ours", "theirs")}
    content = systems.run(
        named,
        str(root / "videos"),
        str(root / "out"),
        job(*weights, "metrics.resamples=20"),
        embeddings=str(root / "embeddings"),
        models="miniature",
    )
    return root, content


def features(root: Path, system: str, network: str, column: str) -> dict[str, np.ndarray]:
    """What a network found out about the sounds of a system, or about the references, by key."""
    kind = "references" if system == "references" else "made"
    (folder,) = (root / "out" / "features" / kind / network).iterdir()
    table = read_columns(f"{folder}/rows", ["source_name", "source_uri", column])
    names, places = table["source_name"].to_pylist(), table["source_uri"].to_pylist()
    found = zip(names, places, arrays.read_vectors(table[column]), strict=True)
    return {
        PurePosixPath(name).stem: np.asarray(vector, np.float64)
        for name, place, vector in found
        if vector is not None and name != "silence" and (kind == "references" or f"/{system}/" in place)
    }


def stacked(found: dict[str, np.ndarray], size: int) -> np.ndarray:
    assert sorted(found) == KEYS
    return np.concatenate([found[key].reshape(-1, size) for key in KEYS])


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """The definition with a matrix root, in the few directions that the rows of both sets span."""
    basis = scipy.linalg.orth(np.concatenate([first - first.mean(0), second - second.mean(0)]).T)
    covariances = [np.atleast_2d(np.cov((rows @ basis).T)) for rows in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1] + 1e-18 * np.eye(basis.shape[1]))
    shift = first.mean(0) - second.mean(0)
    return float(shift @ shift + sum(map(np.trace, covariances)) - 2 * np.trace(root).real)


@pytest.mark.parametrize("system", ["ours", "theirs"])
@pytest.mark.parametrize(
    ("metric", "network", "size"), [("fd_cnn14_16k", "cnn14-16k", 2048), ("fad_vggish", "vggish", 128)]
)
def test_frechet_distances(measured, system, metric, network, size):
    root, content = measured
    made, real = (stacked(features(root, name, network, "embedding"), size) for name in (system, "references"))
    assert content["systems"][system][metric]["value"] == pytest.approx(frechet(made, real), rel=1e-4)
    assert content["systems"][system][metric]["count"] == len(KEYS)


@pytest.mark.parametrize("system", ["ours", "theirs"])
def test_divergence_of_pairs(measured, system):
    root, content = measured
    made, real = (stacked(features(root, name, "cnn14-16k", "logits"), 527) for name in (system, "references"))
    made, real = scipy.special.softmax(made, axis=1), scipy.special.softmax(real, axis=1)
    expected = scipy.special.rel_entr(real, made).sum() / len(KEYS)
    assert content["systems"][system]["kl_cnn14_16k"]["value"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("system", ["ours", "theirs"])
def test_inception_score(measured, system):
    root, content = measured
    made = scipy.special.softmax(stacked(features(root, system, "cnn14-16k", "logits"), 527), axis=1)
    made = made[np.random.RandomState(2020).permutation(len(made))]
    scores = []
    for first, last in itertools.pairwise(split * len(made) // 10 for split in range(11)):
        part = made[first:last]
        scores.append(np.exp(np.mean([scipy.special.rel_entr(row, part.mean(0)).sum() for row in part])))
    assert content["systems"][system]["is_cnn14_16k"]["value"] == pytest.approx(np.mean(scores), rel=1e-9)


@pytest.mark.parametrize("system", ["ours", "theirs"])
def test_kernel_distance(measured, system):
    root, content = measured
    made, real = (stacked(features(root, name, "cnn14-16k", "embedding"), 2048) for name in (system, "references"))
    pairs = list(itertools.combinations(range(len(KEYS)), 2))
    distances = sorted(np.linalg.norm(real[a] - real[b]) for a, b in pairs)
    bandwidth = distances[(len(distances) - 1) // 2]

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.square(a - b).sum() / (2 * bandwidth**2)))

    within, among = (np.mean([kernel(rows[a], rows[b]) for a, b in pairs]) for rows in (made, real))
    expected = 100 * (within + among - 2 * np.mean([kernel(a, b) for a in made for b in real]))
    found = content["systems"][system]["kad_cnn14_16k"]
    assert found["value"] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found["beside"]["bandwidth"] == pytest.approx(bandwidth, rel=1e-6)
    assert found["beside"]["rows"] == len(KEYS)


@pytest.mark.parametrize("system", ["ours", "theirs"])
def test_clip_score(measured, system):
    root, content = measured
    made = features(root, system, "wav2clip", "embedding")
    table = read_columns(f"{root}/embeddings/rows", ["source_name", "vision_frames"])
    scores = []
    for name, frames in zip(
        table["source_name"].to_pylist(), arrays.read_vector_lists(table["vision_frames"]), strict=True
    ):
        sound = made[PurePosixPath(name).stem]
        cosines = [frame @ sound / np.linalg.norm(frame) / np.linalg.norm(sound) for frame in frames.astype(np.float64)]
        scores.append(100 * np.mean(cosines))
    assert len(scores) == len(KEYS)
    assert content["systems"][system]["cs_wav2clip"]["value"] == pytest.approx(np.mean(scores), rel=1e-5)
