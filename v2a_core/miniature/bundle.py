"""Writes the miniature bundle: CLIP, CLAP and AudioLDM at tiny size."""

from __future__ import annotations

from pathlib import Path

import yaml

from v2a_core import storage
from v2a_core.miniature.audioldm import save_audioldm
from v2a_core.miniature.clap import save_clap
from v2a_core.miniature.clip import save_clip
from v2a_core.miniature.text import build_text_encoder
from v2a_core.models.bundle import BUNDLE_FILE


def write_bundle(folder: Path, seed: int) -> None:
    """Write all parts; see `v2a_core.miniature.init_miniature`."""
    # One text tower in both checkpoints, as published: by it one sees that CLAP and generator share a space.
    text_encoder, tokenizer = build_text_encoder(seed)
    save_clip(folder / "vision", seed)
    save_clap(folder / "audio", seed, text_encoder)
    save_audioldm(folder / "generator", seed, text_encoder, tokenizer)
    describe(folder, name="miniature-untrained", trained=False)


def describe(folder: Path, *, name: str, trained: bool) -> None:
    """Write `bundle.yaml`, last: a folder without it is not a bundle."""
    description = {
        "name": name,
        "trained": trained,
        "licence": "Apache-2.0",
        "vision": {"model": "ViT-miniature", "weights": "./vision"},
        "audio": {"weights": "./audio"},
        "generator": {"weights": "./generator"},
    }
    storage.write_bytes(str(folder / BUNDLE_FILE), yaml.safe_dump(description, sort_keys=False).encode())
