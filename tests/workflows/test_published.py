"""Each of the paper's bundles from files in the published layouts, at their size: found, checked, and put to work.

The weights are random, so that nothing is said of how it sounds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import helpers_catalog
import helpers_outputs
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from helpers_published import Size, hub_folder, save_blip, save_checkpoint, save_clip, save_generator

from v2a_core.captioners.blip import BlipCaptioner, BlipCaptionerSettings
from v2a_core.config import CONFIG_ROOT, load
from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.models import ModelError, check_spaces, check_weights, load_bundle
from v2a_core.outputs.ledger import part_files
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

S, M, L = (
    Size(128, 32, "HTSAT-tiny", 0.9392935634),
    Size(192, 32, "HTSAT-base", 0.9138255716),
    Size(256, 64, "HTSAT-tiny", 0.9654927850),
)
CLIP_REPO, CLIP_COMMIT = "timm/vit_base_patch32_clip_224.openai", "a6f597a30f7b82c51704746581f9a4e41421e878"
SAMPLING = ("segments.length_s=1.0", "frames.frames_per_second=2.0", "output.interval_s=0")
SOUND = ("generator.num_inference_steps=2", "generator.precision=bf16")


@dataclass(frozen=True)
class Published:
    """How the files of a bundle were published.

    Attributes:
        size: Of the AudioLDM.
        checkpoint: Name of the original checkpoint.
        ending: Of the weights in the generator's folder.
        clip: Name of CLIP's weights.
    """

    size: Size
    checkpoint: str
    ending: str = ".safetensors"
    clip: str = "open_clip_model.safetensors"


BUNDLES = {
    "paper": Published(S, "audioldm-full-s-v2.ckpt"),
    "paper-s": Published(S, "audioldm-s-full", ".bin", "open_clip_pytorch_model.bin"),
    "paper-m": Published(M, "audioldm-m-full.ckpt"),
    "paper-l": Published(L, "audioldm-full-l.ckpt", ".bin"),
    "paper-blip": Published(S, "audioldm-full-s-v2.ckpt"),
}


@dataclass(frozen=True)
class Made:
    """A bundle's files on this machine.

    Attributes:
        name: Of the bundle.
        published: What they are.
        hub: A hub's cache with the repositories.
        vision: Snapshot of what sees.
        generator: Snapshot of what sounds.
        checkpoint: The original checkpoint.
    """

    name: str
    published: Published
    hub: Path
    vision: Path
    generator: Path
    checkpoint: Path

    @property
    def overrides(self) -> list[str]:
        """What a machine without a network says of a bundle; CLIP's pinned digest is of other weights."""
        pinned = [] if self.name == "paper-blip" else ["vision.weights=openai", f"vision.revision={CLIP_COMMIT}"]
        return [*pinned, f"audio.weights={self.checkpoint}"]

    def write_bundle(self, path: Path) -> str:
        """The shipped bundle with its sources as folders here: workers know no other hub."""
        said = yaml.safe_load((CONFIG_ROOT / "models" / f"{self.name}.yaml").read_text(encoding="utf-8"))
        said["vision"] |= {"weights": str(self.vision), "revision": ""}
        said["audio"] |= {"weights": str(self.checkpoint)}
        said["generator"] |= {"weights": str(self.generator)}
        path.write_text(yaml.safe_dump({**said, "checksums": {}}), encoding="utf-8")
        return str(path)


@pytest.fixture(params=BUNDLES)
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """The files of a bundle: gigabytes, which go with the test."""
    name, published, hub = request.param, BUNDLES[request.param], tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    if name == "paper-blip":
        vision = hub_folder(hub, "Salesforce/blip-itm-base-coco")
        save_blip(vision)
    else:
        vision = hub_folder(hub, CLIP_REPO, CLIP_COMMIT)
        save_clip(vision, published.clip)
    checkpoint = save_checkpoint(tmp_path / published.checkpoint, published.size)
    generator = hub_folder(hub, load_bundle(name).settings.generator.weights)
    save_generator(generator, checkpoint, published.size, published.ending)
    yield Made(name, published, hub, vision, generator, checkpoint)
    shutil.rmtree(hub)
    checkpoint.unlink()


def test_a_bundle_is_found_embeds_and_generates(ray_session: None, made: Made, tmp_path: Path) -> None:
    local = load_bundle(made.name, made.overrides).resolve()
    check_weights(local)
    assert check_spaces(local).status == "same"
    assert local.audio_space.startswith(f"{made.published.size.clap}+sinc:")
    models = made.write_bundle(tmp_path / "here.yaml")
    here = load_bundle(models).resolve()
    assert here.fingerprints() == local.fingerprints()

    helpers_catalog.video(tmp_path / "clip.mp4", 1.0)
    clip, embeddings, output = [str(tmp_path / "clip.mp4")], str(tmp_path / "embeddings"), str(tmp_path / "soundtracks")
    embed.run(clip, embeddings, load(EmbedJob, job="embed", overrides=list(SAMPLING)), models=models)
    (row,) = [row for part in part_files(f"{embeddings}/rows") for row in pq.read_table(part).to_pylist()]
    assert row["status"] == "ok"
    assert np.shape(row["vision_frames"]) == (2, 256 if made.name == "paper-blip" else 512)
    assert np.linalg.norm(row["clap_embedding"]) == pytest.approx(1, abs=1e-3)

    mapper = "none" if made.name == "paper-blip" else helpers_catalog.random_mapper(tmp_path / "mapper", here)
    settings = load(GenerateJob, job="generate", overrides=[*SAMPLING, *SOUND])
    generate.run(clip, output, settings, mapper=mapper, models=models)
    (row,) = helpers_outputs.index_rows(output)
    assert row["status"] == "ok"
    sound, rate = soundfile.read(row["audio_path"])
    assert (len(sound), rate) == (16_000, 16_000)
    assert np.abs(sound).max() > 1e-3


def test_the_original_checkpoint_sounds_as_the_folder_that_was_made_of_it(made: Made) -> None:
    conditions = np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32)
    said = [
        f"generator.checkpoint={made.checkpoint}",
        "generator.weights=ema",
        f"generator.tokenizer={made.generator / 'tokenizer'}",
    ]
    sounds = []
    for more in ([], said):
        local = load_bundle(made.name, [*made.overrides, *more]).resolve()
        check_weights(local)
        assert check_spaces(local).status == "same"
        generator = load_generator(local, AudioLdmSettings(num_inference_steps=2, precision="bf16"))
        sounds.append(generator.generate(conditions, [0], 0.64)[0])
    assert np.isfinite(sounds).all()
    assert np.corrcoef(sounds)[0, 1] > 0.99


@pytest.mark.parametrize("made", ["paper"], indirect=True)
def test_other_weights_than_the_published_are_refused_by_their_digest(made: Made) -> None:
    with pytest.raises(ModelError, match=r"open_clip_model\.safetensors is damaged or was changed: .* says e6d1bd77"):
        load_bundle("paper", [f"audio.weights={made.checkpoint}"]).resolve()


def test_the_captioner_reads_a_pickle_of_full_size(tmp_path: Path) -> None:
    save_blip(tmp_path, captions=True)
    settings = BlipCaptionerSettings(weights=str(tmp_path), max_tokens=4, beams=1)
    settings.check()
    frame = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    (caption,) = BlipCaptioner(settings).caption([frame])
    assert isinstance(caption, str)
