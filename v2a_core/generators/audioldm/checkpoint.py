"""What an AudioLDM folder in diffusers' layout holds; loads no model library.

<folder>/unet, vae, vocoder, scheduler, text_encoder, tokenizer
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from v2a_core import storage
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.models import digests
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import GENERATORS

if TYPE_CHECKING:
    from v2a_core.generators.audioldm.generator import AudioLdmGenerator
    from v2a_core.generators.audioldm.text import TextEmbedder

# What transformers takes when the vocoder's config.json does not say (SpeechT5HifiGanConfig).
SAMPLE_RATE = 16_000

# The parts of a diffusers folder that have weights, and what else of it is read. A file that lies beside them because
# another program wanted it is not another model.
_WITH_WEIGHTS = ("unet", "vae", "vocoder", "text_encoder")
_READ = re.compile(r"model_index\.json|scheduler/scheduler_config\.json|tokenizer/[^/]+\.(json|txt)")


def _loaded_of(part: Path) -> list[str]:
    """The configuration of a part, and those of its weights that are loaded where there are several kinds."""
    names = sorted(path.name for path in part.glob("*") if path.is_file())
    kinds = [
        [name for name in names if re.fullmatch(rf".*\.{suffix}(\.index\.json)?", name) and (".fp16." in name) is half]
        for suffix in ("safetensors", "bin")
        for half in (False, True)
    ]
    weights = next((kind for kind in kinds if kind), [])
    usual = [name for name in weights if re.match(r"(diffusion_pytorch_|pytorch_)?model[.-]", name)]
    return [name for name in names if name == "config.json"] + (usual or weights)


class AudioLdm:
    """AudioLDM as bundles name it."""

    def files(self, folder: Path) -> dict[str, Path]:
        """The files that it is made of, by their name inside the folder.

        Raises:
            ModelError: When there is no such folder.
        """
        if not folder.is_dir():
            raise ModelError(f"{folder} must be a diffusers folder of AudioLDM")
        files = digests.tree(folder)
        loaded = {f"{part}/{name}" for part in _WITH_WEIGHTS for name in _loaded_of(folder / part)}
        return {name: path for name, path in files.items() if name in loaded or _READ.fullmatch(name)}

    def sample_rate(self, folder: Path) -> int:
        """Rate of what its vocoder makes, Hz."""
        path = folder / "vocoder" / "config.json"
        if not path.is_file():
            return SAMPLE_RATE
        try:
            return int(storage.read_json(str(path)).get("sampling_rate", SAMPLE_RATE))
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} cannot be read as a vocoder's configuration: {error}") from None

    def text_tower(self, folder: Path) -> Path | None:
        """CLAP's text tower, in transformers' layout."""
        return folder / "text_encoder"

    def load(self, folder: Path, settings: AudioLdmSettings, device: str) -> AudioLdmGenerator:
        """Ready to make sound."""
        from v2a_core.generators.audioldm.generator import AudioLdmGenerator

        return AudioLdmGenerator(folder, settings, device)

    def load_text(self, folder: Path, device: str) -> TextEmbedder:
        """Its text side alone."""
        from v2a_core.generators.audioldm.text import TextEmbedder

        return TextEmbedder(folder, device)


GENERATORS.add("audioldm", AudioLdm(), AudioLdmSettings)
