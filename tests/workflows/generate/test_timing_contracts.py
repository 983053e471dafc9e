"""What holds of every soundtrack holds of those that keep time: batches, order, buckets, length, words, candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helpers_adapter
import helpers_catalog
import helpers_outputs
import helpers_predictor
import helpers_s3
import numpy as np
import pytest
import soundfile
from helpers_s3 import reached

from v2a_core import storage
from v2a_core.config import load
from v2a_core.models import load_bundle
from v2a_core.protocols import Curve
from v2a_core.stages.follow import ToFollow
from v2a_core.storage import StorageAccess
from v2a_core.timing.envelope import keeps_to
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG_S = 11.0  # the generator's window has 5.12 s
SETTINGS = (
    "segments.length_s=2.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0", "encoders.precision=fp32",
    "generator.num_inference_steps=2", "generator.precision=fp32", "output.interval_s=0",
)  # fmt: skip
TOLERANCE = 4 / 2**15


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of several lengths, one longer than two windows, with a mapper, a predictor and an adapter."""
    folder, local = tmp_path_factory.mktemp("given"), load_bundle("miniature").resolve()
    for index, seconds in enumerate((2.5, 1.2, LONG_S)):
        helpers_catalog.video(folder / "catalog" / f"{index}.mp4", seconds, hue=50 * index, fps=20)
    helpers_catalog.random_mapper(folder / "mapper", local)
    helpers_adapter.random_adapter(folder / "adapter", local)
    helpers_predictor.random_predictor(folder / "predictor", local)
    return folder


def job(place: str, *overrides: str) -> GenerateJob:
    timing = ("timing=gru", f"predictor.weights={place}/predictor")
    return load(GenerateJob, job="generate", overrides=[*SETTINGS, *timing, *overrides])


def run(place: str, output: str, *overrides: str, catalog: list[str] | None = None) -> dict[str, Any]:
    return generate.run(
        catalog or [f"{place}/catalog"],
        output,
        job(place, *overrides),
        models="miniature",
        mapper=f"{place}/mapper/mapper",
        to_follow=ToFollow(adapter=f"{place}/adapter"),
    )


def made(output: Path) -> dict[str, dict[str, Any]]:
    rows = helpers_outputs.index_rows(output)
    assert {row["status"] for row in rows} == {"ok"}
    return {
        row["source_name"]: {**row, "waveform": soundfile.read(row["audio_path"], dtype="float32")[0]} for row in rows
    }


@pytest.fixture(scope="module")
def timed(ray_session: None, given: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    output = tmp_path_factory.mktemp("made") / "timed"
    run(str(given), str(output))
    return made(output)


def assert_same(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        np.testing.assert_allclose(np.array(found[name]["curve"]), np.array(row["curve"]), atol=2e-3, err_msg=name)
        np.testing.assert_allclose(found[name]["waveform"], row["waveform"], rtol=0, atol=TOLERANCE, err_msg=name)


def test_any_batch_and_any_order_sound_the_same(timed: dict[str, dict[str, Any]], given: Path, tmp_path: Path) -> None:
    single = ("pools.segments_per_batch=1", "pools.soundtracks_per_batch=1", "pools.sources_per_block=1")
    backwards = sorted(map(str, (given / "catalog").iterdir()), reverse=True)
    run(str(given), str(tmp_path / "single"), *single, catalog=backwards)
    assert_same(made(tmp_path / "single"), timed)


def test_a_long_soundtrack_follows_its_curve_in_every_window(
    timed: dict[str, dict[str, Any]], given: Path, tmp_path: Path
) -> None:
    run(str(given), str(tmp_path / "weak"), "generator.adapter.scale=0.05", catalog=[str(given / "catalog" / "2.mp4")])
    (weak,), strong = made(tmp_path / "weak").values(), timed["2.mp4"]
    assert weak["curve"] == strong["curve"]
    assert len(strong["curve"]) == LONG_S * 50
    differs = np.abs(weak["waveform"] - strong["waveform"])
    assert len(differs) == LONG_S * 16_000
    assert min(differs[start : start + 16_000].max() for start in range(0, len(differs), 16_000)) > 1e-3


def test_words_and_candidates_keep_time_too(timed: dict[str, dict[str, Any]], given: Path, tmp_path: Path) -> None:
    names = ("0.mp4", "2.mp4")
    lines = [f"{given}/catalog/{name},a bell,music" for name in names]
    (tmp_path / "table.csv").write_text("\n".join(["uri,prompt,negative_prompt", *lines, ""]))
    found = {}
    for weight in (0.0, 3.0):
        more = ("candidates.count=2", "candidates.keep_losers=true", f"candidates.timing_weight={weight}")
        run(str(given), str(tmp_path / f"{weight}"), *more, "finish.mux=none", catalog=[str(tmp_path / "table.csv")])
        found[weight] = made(tmp_path / f"{weight}")
    for name in names:
        plain, weighed = found[0.0][name], found[3.0][name]
        assert (weighed["prompt"], weighed["negative_prompt"]) == ("a bell", "music")
        np.testing.assert_allclose(np.array(weighed["curve"]), np.array(timed[name]["curve"]), atol=2e-3)
        assert np.abs(plain["waveform"] - timed[name]["waveform"]).max() > 1e-3  # words count
        level_F, onset_F, weight_F = np.array(weighed["curve"], np.float32).T
        curve = Curve(level_F, onset_F, weight_F)
        added = np.subtract(weighed["candidate_scores"], plain["candidate_scores"]) / 3
        kept = [added[weighed["candidate"]], keeps_to(curve, weighed["waveform"], 16_000)]
        assert kept[0] == pytest.approx(kept[1], abs=0.05)  # scored before it was levelled and faded
        (loser,) = weighed["loser_paths"]
        waveform, rate = soundfile.read(loser, dtype="float32")
        assert added[1 - weighed["candidate"]] == pytest.approx(keeps_to(curve, waveform, rate), abs=0.05)
        assert weighed["candidate"] == int(np.argmax(weighed["candidate_scores"]))


def test_from_bucket_to_bucket_it_is_the_same(
    timed: dict[str, dict[str, Any]], given: Path, s3_server: str, tmp_path: Path
) -> None:
    helpers_s3.upload(s3_server, "timed", given)
    reach = (f"storage.endpoint={s3_server}", "storage.region=us-east-1")
    run("s3://timed", "s3://timed/out", *reach)
    with storage.reach(StorageAccess(reached(s3_server))):
        fs, path = storage.filesystem("s3://timed/out")
        fs.get(path, str(tmp_path / "out"), recursive=True)
        assert json.loads(storage.read_bytes("s3://timed/out/manifest.json"))["status"] == "done"
        again = run("s3://timed", "s3://timed/out", *reach)
    assert again["counts"]["sources_done_now"] == 0
    found = made(tmp_path / "out")
    for name, row in timed.items():
        np.testing.assert_allclose(np.array(found[name]["curve"]), np.array(row["curve"]), atol=2e-3, err_msg=name)
    # The noise is that of the place: the same videos, with all else on this machine.
    run(str(given), str(tmp_path / "here"), *reach, catalog=["s3://timed/catalog"])
    assert_same(found, made(tmp_path / "here"))
