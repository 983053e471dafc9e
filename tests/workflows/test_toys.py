"""A component of another package of each kind, a small file each, found by its entry point: real jobs run with them.

Nothing else is touched to add them. The files are in tests/helpers/toys.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import helpers_catalog
import helpers_outputs
import numpy as np
import pytest
import safetensors.numpy
import yaml

from v2a_core.config import CONFIG_ROOT
from v2a_core.media.encode import write_video
from v2a_core.outputs.ledger import read_columns

TOYS = Path(__file__).parents[1] / "helpers" / "toys"
GROUPS = {
    "v2a.aggregators": "last = toy_aggregator",
    "v2a.mapper_networks": "linear = toy_network",
    "v2a.mapper_methods": "robust = toy_method",
    "v2a.captioners": "colours = toy_captioner",
    "v2a.generators": "tones = toy_generator",
    "v2a.extractors": "peak = toy_extractor",
    "v2a.metrics": "peak_difference = toy_metric",
    "v2a.catalog_formats": "lines = toy_catalog_format",
    "v2a.audio_formats": "npz = toy_audio_format",
    "v2a.curve_predictors": "cuts = toy_predictor",
}
CUT = ("segments.length_s=1.0", "segments.min_length_s=0.4", "encoders.precision=fp32", "output.interval_s=0")
# One process, and one Ray, for all jobs.
RUN = """
import json, sys
from workflows.cli.main import main
for command in json.loads(sys.argv[1]):
    code = main(command)
    if code:
        raise SystemExit(f"{command[0]}: exit code {code}")
"""


class World(NamedTuple):
    """What the jobs wrote."""

    catalog: Path
    embeddings: Path
    mapper: Path
    sounds: Path
    metrics: Path


def install(site: Path) -> dict[str, str]:
    """The environment of a process for which the toys are an installed package."""
    folder = site / "v2a_toys-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: v2a-toys\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("".join(f"[{group}]\n{line}\n" for group, line in GROUPS.items()))
    paths = [str(site), str(TOYS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def write_bundle(folder: Path) -> Path:
    """The miniature models, with the toy in the place of AudioLDM."""
    (folder / "tones").mkdir(parents=True)
    (folder / "tones" / "tones.json").write_text('{"sample_rate": 16000}')
    content = yaml.safe_load((CONFIG_ROOT / "models" / "miniature.yaml").read_text())
    content |= {"name": "toy", "generator": {"generator": "tones", "weights": str(folder / "tones")}}
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    return folder / "toy.yaml"


def write_cut(path: Path) -> Path:
    """A video of a second of which the second half is another one."""
    frames = np.full((20, 48, 64, 3), 20, np.uint8)
    frames[10:, 8:40, 16:48] = (250, 220, 30)
    write_video(path, frames, 20)
    return path


def settings(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def world(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> World:
    """All jobs, one after the other, with a toy wherever one fits."""
    root = tmp_path_factory.mktemp("world")
    found = World(*(root / name for name in World._fields))
    for number, tone_hz in enumerate((300.0, 600.0, 900.0)):
        helpers_catalog.video(found.catalog / f"{number}.mp4", 2.0, tone_hz=tone_hz, hue=60 * number)
    (found.catalog / "table.csv").write_text("0;bell;train\n1;rain;validation\nwrong\n2;bell;train\n")
    bundle = ["--models", str(write_bundle(root / "bundle"))]
    listed = [str(found.catalog / "table.csv"), "--catalog-format", "lines", "--max-reject-share", "0.5"]
    embed = ["embed", *listed, "--output", str(found.embeddings), *bundle, *settings(*CUT)]
    train = [
        *("train", str(found.embeddings), "--output", str(found.mapper), "--epochs", "2"),
        *settings("mapper.aggregator=last", "mapper.method.kind=robust", "mapper.method.turn=2.0"),
        *settings("mapper.network.kind=linear", "training.global_batch=4", "records.tensorboard=false"),
    ]
    generate = [
        *("generate", *listed, "--output", str(found.sounds), *bundle, "--mapper", str(found.mapper)),
        *("--embeddings", str(found.embeddings)),
        *settings(*CUT, "generator.kind=tones", "generator.loudness=0.25"),
        *settings("finish.audio_format.kind=npz", "finish.audio_format.compressed=true", "finish.mux=none"),
    ]
    evaluate = [
        *("evaluate", str(found.sounds), "--output", str(found.metrics), *bundle),
        *settings("encoders.precision=fp32", "output.interval_s=0", "metrics.resamples=20"),
        *settings("metrics.peak_difference.most_db=3.0", "extractors.peak.floor_db=-50.0"),
    ]
    run_all([embed, train, generate, evaluate], environment, root)
    return found


@pytest.fixture(scope="module")
def told(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is seen in a video of two halves is told in words, and when it begins, by a curve."""
    root = tmp_path_factory.mktemp("told")
    (root / "names").mkdir()
    (root / "names" / "colours.json").write_text('["red", "green", "blue"]')
    tell = [
        *("generate", str(write_cut(root / "cut.mp4")), "--output", str(root / "told"), "--models", "miniature"),
        *("--via-text", "colours", "--timing", "cuts"),
        *settings(
            *CUT, "predictor.unlike=0.02", "predictor.least_cut=1", "finish.mux=none", "generator.num_inference_steps=2"
        ),
        *settings(f"captioner.weights={root / 'names'}", 'captioner.sentence="a {colour} thing"'),
    ]
    run_all([tell], environment, root)
    return root / "told"


def run_all(commands: list[list[str]], environment: dict[str, str], root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        env=environment, cwd=root, capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


def rows_of(output: Path, *columns: str) -> list[dict[str, Any]]:
    table = read_columns(f"{output}/rows", ["segment_id", "source_name", "status", *columns])
    assert table is not None
    return table.sort_by("segment_id").to_pylist()


def test_a_catalog_format(world: World) -> None:
    rows = rows_of(world.embeddings, "label", "split", "reject_message")
    good = {row["source_name"]: (row["label"], row["split"]) for row in rows if row["status"] == "ok"}
    assert good == {"0.mp4": ("bell", "train"), "1.mp4": ("rain", "validation"), "2.mp4": ("bell", "train")}
    (bad,) = [row["reject_message"] for row in rows if row["status"] == "rejected"]
    assert bad.endswith("table.csv, line 3: 1 values; name;label;split are needed")


def test_an_aggregator_a_network_and_a_method(world: World) -> None:
    written = json.loads((world.mapper / "config.json").read_text())["mapper"]
    assert written == {
        "aggregator": "last",
        "method": {"kind": "robust", "turn": 2.0},
        "network": {"kind": "linear", "bias": True},
    }
    # The conditions of the soundtracks are what the trained matrix makes of the last frames.
    weights = safetensors.numpy.load_file(world.mapper / "mapper.safetensors")
    matrix, bias = weights["network.matrix.weight"], weights["network.matrix.bias"]
    seen = {
        row["segment_id"]: row["vision_frames"][-1]
        for row in rows_of(world.embeddings, "vision_frames")
        if row["vision_frames"]
    }
    made = [row for row in helpers_outputs.index_rows(world.sounds) if row["status"] == "ok"]
    assert len(made) == 3
    for row in made:
        for segment_id, condition in zip(row["segment_ids"], row["conditions"], strict=True):
            frame = np.asarray(seen[segment_id], np.float32)
            expected = matrix @ (frame / np.linalg.norm(frame) * np.sqrt(len(frame))) + bias
            np.testing.assert_allclose(condition, expected / np.linalg.norm(expected), atol=2e-3)


def test_a_generator_and_an_audio_format(world: World) -> None:
    for row in helpers_outputs.index_rows(world.sounds):
        if row["status"] != "ok":
            continue
        assert row["audio_path"].endswith(".npz")
        with zipfile.ZipFile(row["audio_path"]) as archive:
            assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_DEFLATED}  # its own setting
        with np.load(row["audio_path"], allow_pickle=False) as file:
            samples, rate = file["samples"], int(file["rate"])
            assert "AI-generated" in str(file["tag_comment"])
        assert len(samples) == round(row["duration_s"] * rate)
        pitch_hz = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)
        assert pitch_hz == pytest.approx(200 + 10 * np.argmax(row["conditions"][0]), abs=1)
    manifest = json.loads((world.sounds / "manifest.json").read_text())
    assert manifest["identity"]["generator"] == {"kind": "tones", "loudness": 0.25}


@pytest.mark.slow
def test_a_captioner(told: Path) -> None:
    (row,) = helpers_outputs.index_rows(told)
    (text,) = set(row["condition_texts"])  # of each of its segments
    assert text in {f"a {colour} thing" for colour in ("red", "green", "blue")}
    identity = json.loads((told / "manifest.json").read_text())["identity"]
    assert identity["captioner"] == {"sentence": "a {colour} thing"}


@pytest.mark.slow
def test_a_curve_predictor(told: Path) -> None:
    (row,) = helpers_outputs.index_rows(told)
    curve = np.array(row["curve"], np.float32)
    assert curve.shape == (50, 3)
    (struck,) = np.flatnonzero(curve[:, 1] == 1)
    assert struck / 50 == pytest.approx(0.5, abs=0.11)  # the first of five frames a second after the cut
    assert not curve[:struck, 0].any()
    assert curve[struck, 0] == 1
    predicted = json.loads((told / "manifest.json").read_text())["identity"]["timing"]["predictor"]
    assert (predicted["kind"], predicted["unlike"], predicted["rings_s"]) == ("cuts", 0.02, 0.3)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("captioner.beams=2",), "unknown key 'captioner.beams' (value 2); it is a setting of captioner.kind = blip"),
        (("captioner.kind=blip",), "via_text is 'colours', and captioner.kind 'blip': leave that out"),
    ],
)
def test_settings_of_another_captioner_are_refused(
    environment: dict[str, str], tmp_path: Path, overrides: tuple[str, ...], told: str
) -> None:
    asked = ["generate", "0.mp4", "--output", str(tmp_path / "out"), "--models", "miniature", "--via-text", "colours"]
    command = [sys.executable, "-m", "workflows.cli", *asked, *settings(f"captioner.weights={tmp_path}", *overrides)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert told in done.stderr


def test_an_extractor_and_a_metric(world: World) -> None:
    rows = [
        row
        for row in rows_of(world.metrics, "peak_dbfs", "reference_peak_dbfs", "similarity_to_condition")
        if row["status"] == "ok"
    ]
    assert len(rows) == 6
    for row in rows:
        assert -50 < row["peak_dbfs"] < 0
        # An extractor hears the file as it is; the catalog's tones have three tenths of full scale.
        assert row["reference_peak_dbfs"] == pytest.approx(20 * np.log10(0.3), abs=0.5)
        assert -1 <= row["similarity_to_condition"] <= 1
    told = json.loads((world.metrics / "metrics.json").read_text())["metrics"]["peak_difference"]
    differences = [min(3.0, abs(row["peak_dbfs"] - row["reference_peak_dbfs"])) for row in rows]
    assert (told["value"], told["count"]) == (pytest.approx(np.mean(differences), abs=1e-5), 6)
    assert "Difference of the peaks" in (world.metrics / "metrics.md").read_text()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train", ["mapper.method.turn = 1.0", "mapper.network.bias = true", "[average | middle | random | last]"]),
        (
            "generate",
            [
                "generator.loudness = 0.5",
                "catalog.format.suffix = .mp4",
                "[wav | flac | m4a | ogg | npz]",
                "npz: whether the file is made smaller",
                "timing = off",
                "[off | gru | motion | cuts]",
            ],
        ),
        ("evaluate", ["extractors.peak.floor_db = -90.0 dB", "metrics.peak_difference.most_db = 60.0 dB"]),
    ],
)
def test_the_help_tells_of_them(environment: dict[str, str], command: str, told: list[str]) -> None:
    asked = [sys.executable, "-m", "workflows.cli", command, "--help"]
    out = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    for line in told:
        assert line in out


def test_a_generator_of_another_bundle_is_refused_before_anything_loads(
    environment: dict[str, str], world: World, tmp_path: Path
) -> None:
    asked = ["generate", str(world.catalog / "0.mp4"), "--output", str(tmp_path / "out"), "--models", "miniature"]
    command = [sys.executable, "-m", "workflows.cli", *asked, "--mapper", "none", "--set", "generator.kind=tones"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "generator.kind = 'tones', but the generator of the bundle 'miniature' is 'audioldm'" in done.stderr
