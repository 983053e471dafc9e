"""AudioLDM as bundles name it: which files it is made of, and how it is loaded; loads no model library.

A bundle names a folder in diffusers' layout (`layout.DiffusersFolder`), or AudioLDM's original checkpoint
(`original.OriginalCheckpoint`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.audioldm.layout import (
    PARTS,
    AudioLdmSource,
    DiffusersFolder,
)
from v2a_core.generators.audioldm.original import SAMPLE_RATE, OriginalCheckpoint
from v2a_core.models import digests
from v2a_core.models.checkpoints import weight_files
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import GENERATORS
from v2a_core.models.parts import Found, GeneratorWeights, Part
from v2a_core.models.sources import Finder

if TYPE_CHECKING:
    from v2a_core.generators.audioldm.generator import AudioLdmGenerator
    from v2a_core.generators.audioldm.text import TextEmbedder

# All of a tokenizer in one file.
TOKENIZER = "tokenizer.json"

# What is read of a diffusers folder beside its weights; another file that lies there is not another model.
_DESCRIPTION = re.compile(
    r"model_index\.json|scheduler/scheduler_config\.json|tokenizer/[^/]+\.(json|txt)|(unet|vae|vocoder|text_encoder)/config\.json"
)


class AudioLdm:
    """AudioLDM as bundles name it."""

    def find(self, source: GeneratorWeights, finder: Finder) -> Found:
        """The files that it is made of.

        Of a folder: what describes it, and the weights that are read. Of a checkpoint: itself and the tokenizer.

        Raises:
            ModelError: When they cannot be had, or a part is missing.
        """
        if source.checkpoint is not None:
            return _find_checkpoint(source, source.checkpoint, finder)
        folder = finder.find(source.weights)
        if not folder.is_dir():
            raise ModelError(
                f"generator.weights = {str(folder)!r} must be a folder of AudioLDM in diffusers' layout; the original "
                "checkpoint is named in generator.checkpoint"
            )
        files = {name: path for name, path in digests.tree(folder).items() if _DESCRIPTION.fullmatch(name)}
        for part in PARTS:
            files |= {f"{part}/{path.name}": path for path in weight_files(folder / part)}
        return Found(folder, dict(sorted(files.items())))

    def sample_rate(self, part: Part[GeneratorWeights]) -> int:
        """Rate of what its vocoder makes, Hz."""
        path = part.path / "vocoder" / "config.json"
        if not path.is_file():
            return SAMPLE_RATE
        try:
            return int(storage.read_json(str(path)).get("sampling_rate", SAMPLE_RATE))
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} cannot be read as a vocoder's configuration: {error}") from None

    def text_tower(self, part: Part[GeneratorWeights]) -> Path | None:
        """CLAP's text tower: a folder in transformers' layout, or the checkpoint that holds it."""
        return part.path / "text_encoder" if part.path.is_dir() else part.path

    def check(self, part: Part[GeneratorWeights]) -> None:
        """Compare names and shapes of all weights with the models that they are of.

        Raises:
            ModelError: Naming what does not fit.
        """
        from v2a_core.generators.audioldm.components import check_source

        check_source(audioldm_source(part))

    def load(self, part: Part[GeneratorWeights], settings: AudioLdmSettings, device: str) -> AudioLdmGenerator:
        """Ready to make sound."""
        from v2a_core.generators.audioldm.generator import AudioLdmGenerator

        return AudioLdmGenerator(audioldm_source(part), settings, device)

    def load_text(self, part: Part[GeneratorWeights], device: str) -> TextEmbedder:
        """Its text side alone."""
        from v2a_core.generators.audioldm.text import TextEmbedder

        return TextEmbedder(audioldm_source(part), device)


def audioldm_source(part: Part[GeneratorWeights]) -> AudioLdmSource:
    """Where the parts of a bundle's AudioLDM come from."""
    said, path = part.settings, part.path
    if said.checkpoint is None:
        return DiffusersFolder(path, said.head_channels)
    tokenizer = part.found.files[f"tokenizer/{TOKENIZER}"].parent
    return OriginalCheckpoint(path, tokenizer, "raw" if said.weights == "raw" else "ema", said.head_channels)


def _find_checkpoint(source: GeneratorWeights, checkpoint: str, finder: Finder) -> Found:
    if source.weights not in ("ema", "raw"):
        raise ConfigError(
            f"generator.weights = {source.weights!r}: with a checkpoint it says which of its weights are taken, ema "
            "(the averaged, which AudioLDM's authors sample with) or raw"
        )
    path = finder.find(checkpoint)
    if not path.is_file():
        raise ModelError(
            f"generator.checkpoint = {checkpoint!r} must be a file: a folder is named in generator.weights"
        )
    return Found(path, {path.name: path, f"tokenizer/{TOKENIZER}": _beside(finder, source.tokenizer, TOKENIZER)})


def _beside(finder: Finder, folder: str, name: str) -> Path:
    """A file of a folder that a bundle names: of a hub's repository that one file is fetched."""
    place = finder.absolute(folder)
    if "://" in place:
        return replace(finder, checksums={}).fetch(storage.join(place, name))
    if (path := Path(place).expanduser()).is_dir():
        if not (path / name).is_file():
            raise ModelError(f"generator.tokenizer = {folder!r} has no {name}")
        return (path / name).resolve()
    repo, _, inside = folder.partition(":")
    # A revision is of the weights, not of this repository.
    return replace(finder, revision="").find(f"{repo}:{inside.strip('/') + '/' if inside else ''}{name}")


GENERATORS.add("audioldm", AudioLdm(), AudioLdmSettings)
