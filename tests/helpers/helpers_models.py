"""Models for tests: an untrained miniature bundle, made once a process, and full-size towers with random weights."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import helpers_blip
import torch
import yaml

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.clap import ClapSettings
from v2a_core.encoders.clip import ClipSettings
from v2a_core.miniature import init_miniature
from v2a_core.models import GeneratorSource, LocalBundle, load_bundle
from v2a_core.models.parts import Found, Part, PartSettings
from v2a_core.models.sources import Finder

CLIP = "ViT-B-32-quickgelu"

SettingsT = TypeVar("SettingsT", bound=PartSettings)


@functools.cache
def miniature() -> LocalBundle:
    """An untrained miniature bundle, in a folder that goes with the process."""
    folder = _temporary()
    init_miniature(Path(folder.name))
    return load_bundle(folder.name).resolve()


@functools.cache
def blip_bundle() -> LocalBundle:
    """The miniature bundle with a tiny BLIP as its vision side."""
    folder = Path(_temporary_blip().name)
    description = yaml.safe_load((Path(_temporary().name) / "bundle.yaml").read_text()) if miniature() else {}
    weights = helpers_blip.save_blip_vision(folder / "blip")
    description |= {"root": _temporary().name, "vision": {"encoder": "blip", "model": "tiny-blip", "weights": weights}}
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))
    return load_bundle(str(folder)).resolve()


@functools.cache
def _temporary_blip() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="v2a-test-blip-")


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="v2a-test-")


def bundle(
    *,
    name: str = "test",
    vision: Path | None = None,
    audio: Path | None = None,
    clip_model: str = CLIP,
    clap_config: str | None = None,
) -> LocalBundle:
    """A bundle of the paper's architectures; its weights are given by the test, with what lies beside them."""
    return LocalBundle(
        name=name,
        trained=False,
        licence="",
        vision=_part(ClipSettings(model=clip_model, weights=str(vision or _empty()))),
        audio=_part(ClapSettings(weights=str(audio or _empty()), config=clap_config)),
        generator=Part(GeneratorSource(weights=str(_empty().parent)), Found(_empty().parent, {})),
    )


def with_weights(local: LocalBundle, **paths: Path) -> LocalBundle:
    """The bundle with other weight files, and what belongs to the old ones."""
    parts = {}
    for name, path in paths.items():
        part = local.parts()[name]
        files = {inside: file for inside, file in part.found.files.items() if file != part.path}
        parts[name] = Part(part.settings, Found(path, {path.name: path, **files}))
    return dataclasses.replace(local, **parts)


def _part(settings: SettingsT) -> Part[SettingsT]:
    return Part(settings, settings.find(Finder("test")))


@functools.cache
def _empty() -> Path:
    folder = Path(_temporary_empty().name)
    (folder / "none.safetensors").touch()
    return folder / "none.safetensors"


@functools.cache
def _temporary_empty() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="v2a-test-none-")


@functools.cache
def full_clip() -> Any:
    """open_clip's ViT-B-32-quickgelu with seeded random weights; its text tower is cut short."""
    prepare_torchvision()
    import open_clip

    torch.manual_seed(0)
    config = open_clip.get_model_config(CLIP)
    config["text_cfg"] |= {"layers": 1, "vocab_size": 64}
    return open_clip.CLIP(**config).eval()


def with_spectrogram_extractor(tower: Any) -> Any:
    """With the Fourier transform of HTSAT itself, which is part of published checkpoints."""
    from torchlibrosa.stft import Spectrogram

    tower.audio_branch.spectrogram_extractor = Spectrogram(n_fft=1024, hop_length=480, win_length=1024)
    return tower


@functools.cache
def full_clap(config: str | None = None) -> dict[str, torch.Tensor]:
    """The audio side of a laion CLAP checkpoint (HTSAT-tiny for None), random weights, with a stub of a text tower."""
    from v2a_core.encoders.clap_config import load_clap_config
    from v2a_core.encoders.clap_tower import ClapAudioTower

    torch.manual_seed(0)
    tower = with_spectrogram_extractor(ClapAudioTower(load_clap_config(config)))
    tower.audio_branch.bn0.running_mean.fill_(-25.0)
    tower.audio_branch.bn0.running_var.fill_(400.0)
    text = {
        "text_branch.embeddings.word_embeddings.weight": torch.randn(64, 32),
        "text_branch.embeddings.position_ids": torch.arange(514)[None],
        "text_projection.0.weight": torch.randn(512, 32),
        "logit_scale_a": torch.tensor(2.6),
    }
    return {**tower.state_dict(), **text}


def vision_tower(quick_gelu: bool = False, **vision: Any) -> Any:
    """A small image tower of open_clip, (N, 3, 64, 64) -> (N, 32), with the same random weights each time."""
    prepare_torchvision()
    import open_clip

    torch.manual_seed(0)
    vision = {"image_size": 64, "patch_size": 16, "width": 128, "layers": 3, "head_width": 32, **vision}
    text = {"context_length": 8, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
    return open_clip.CLIP(32, vision, text, quick_gelu=quick_gelu).visual.eval()
