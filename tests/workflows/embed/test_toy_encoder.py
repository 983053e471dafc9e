"""A vision encoder of another package, from its file and a bundle's to soundtracks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import helpers_catalog
import helpers_outputs
import numpy as np
import pytest
import soundfile
import torch
import yaml

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import read_columns

TOYS = Path(__file__).parents[2] / "helpers" / "toys"
CUT = ("segments.length_s=1.0", "segments.min_length_s=0.4", "output.interval_s=0")
TRAIN = (
    "mapper.network.kind=mlp", "mapper.network.width=64", "mapper.network.depth=1", "mapper.method.sampling.steps=4",
    "training.epochs=1", "scaling.cpus_per_worker=0.5", "scaling.threads=1",
)  # fmt: skip
# What the encoder contract asks of each, of one that is in no registry of ours.
CONTRACT = """
import sys
import numpy as np
from v2a_core.models import load_bundle, show_bundle
show_bundle(load_bundle(sys.argv[1]), resolve=True)
assert not {"torch", "transformers"} & set(sys.modules), "reading a bundle loads no model library"
from v2a_core.encoders import EncoderSettings, build_vision
local = load_bundle(sys.argv[1]).resolve()
frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
encoder = build_vision(local, EncoderSettings(precision="fp32"))
made = encoder.encode(frames)
assert (made.shape, made.dtype, encoder.space) == ((5, 24), np.float32, local.vision_space)
np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
np.testing.assert_allclose(build_vision(local, EncoderSettings(precision="fp32", micro_batch=2)).encode(frames), made,
                           atol=1e-5)
assert (build_vision(local, EncoderSettings(precision="bf16")).encode(frames) * made).sum(axis=1).min() > 0.999
assert encoder.encode(frames[:0]).shape == (0, 24)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As if the package of the encoder was installed."""
    site = tmp_path_factory.mktemp("site")
    package = site / "tiny_vit-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-vit\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[v2a.vision_encoders]\ntiny-vit = tiny_vit\n")
    paths = [str(site), str(TOYS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's file: the encoder, and the miniature's other parts."""
    prepare_torchvision()
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder / "vit")
    shipped = load_bundle("miniature").settings
    description = {
        "name": "with-tiny-vit",
        "root": shipped.root,
        "vision": {"encoder": "tiny-vit", "weights": str(folder / "vit")},
        "audio": {"weights": shipped.audio.weights},
        "generator": {"weights": shipped.generator.weights},
    }
    (folder / "tiny-vit.yaml").write_text(yaml.safe_dump(description))
    return folder / "tiny-vit.yaml"


def run(environment: dict[str, str], *command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def v2a(environment: dict[str, str], *arguments: str | Path, settings: tuple[str, ...] = ()) -> str:
    return run(environment, "-m", "workflows.cli", *arguments, *(f"--set={each}" for each in settings))


def test_it_keeps_the_contract_of_encoders(environment: dict[str, str], bundle: Path) -> None:
    run(environment, "-c", CONTRACT, bundle)


def test_a_copy_of_its_bundle_is_the_same(environment: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    v2a(environment, "models", "fetch", bundle, "--output", tmp_path / "copy")
    assert (tmp_path / "copy" / "vision" / "model.safetensors").is_file()
    shown = [
        yaml.safe_load(v2a(environment, "models", "show", "--resolve", each)) for each in (bundle, tmp_path / "copy")
    ]
    assert shown[0]["spaces"] == shown[1]["spaces"]
    assert shown[0]["spaces"]["vision"].startswith("tiny-vit:")


def test_the_judge_beside_the_other_parts_is_the_bundles_own(environment: dict[str, str], bundle: Path) -> None:
    asked = (
        "import sys; from v2a_core.metrics.extractors.verdicts import own_judge; "
        "from v2a_core.models import load_bundle; "
        "print(own_judge(load_bundle(sys.argv[1]).resolve()))"
    )
    found = Path(run(environment, "-c", asked, bundle).strip())
    assert (found.name, (found / "judge.safetensors").is_file()) == ("judge", True)


def test_without_its_package_the_bundle_is_refused_by_name(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workflows.cli", "models", "show", str(bundle)],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert "vision.encoder = 'tiny-vit': no such vision encoder; allowed: clip | blip" in done.stderr


@pytest.mark.slow
def test_from_videos_to_soundtracks(environment: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    catalog, embeddings, mapper, output = (tmp_path / name for name in ("catalog", "embeddings", "mapper", "sounds"))
    for number in range(4):
        helpers_catalog.video(catalog / f"{number}.mp4", 1.4, hue=30 + 60 * number)
    v2a(environment, "embed", catalog, "--output", embeddings, "--models", bundle, settings=CUT)
    rows = read_columns(f"{embeddings}/rows", ["status", "vision_frames"])
    assert rows is not None
    assert {row["status"] for row in rows.to_pylist()} == {"ok"}
    assert {np.shape(row["vision_frames"])[1] for row in rows.to_pylist()} == {24}
    v2a(environment, "train", embeddings, "--output", mapper, settings=TRAIN)
    steps = ("generator.num_inference_steps=2",)
    chosen = ("--models", bundle, "--mapper", mapper)
    v2a(environment, "generate", catalog, "--output", output, *chosen, settings=(*CUT, *steps))
    made = helpers_outputs.index_rows(str(output))
    assert [row["status"] for row in made] == ["ok"] * 4
    for row in made:
        assert np.abs(soundfile.read(row["audio_path"])[0]).max() > 0.01
    metrics = tmp_path / "metrics"
    v2a(environment, "evaluate", output, "--output", metrics, "--models", bundle, settings=("metrics.resamples=20",))
    (folder,) = (metrics / "features" / "made" / "judge").iterdir()
    judged = read_columns(f"{folder}/rows", ["status", "verdict"])
    assert judged is not None
    assert all(row["verdict"] for row in judged.to_pylist() if row["status"] == "ok")
