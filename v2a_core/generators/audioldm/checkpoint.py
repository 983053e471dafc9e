"""What an AudioLDM folder in diffusers' layout holds, and how it is sampled; loads no model library.

<folder>/unet, vae, vocoder, scheduler, text_encoder, tokenizer
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pydantic

from v2a_core import storage
from v2a_core.config import setting
from v2a_core.generators.config import GeneratorSettings
from v2a_core.models import digests
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import GENERATORS

if TYPE_CHECKING:
    from v2a_core.generators.audioldm.generator import AudioLdmGenerator
    from v2a_core.generators.audioldm.text import TextEmbedder

# AudioLDM was trained on 10.24 s; twice that is the longest window it is asked to see.
MAX_DURATION_S = 20.48
# What transformers takes when the vocoder's config.json does not say (SpeechT5HifiGanConfig).
SAMPLE_RATE = 16_000

# What a diffusers folder is made of; a changed readme is not another model.
_FILES = (".json", ".txt", ".safetensors", ".bin")


class AudioLdmSettings(GeneratorSettings):
    """How AudioLDM samples."""

    kind: Literal["audioldm"] = setting("audioldm", "the generator, as the bundle names it")
    sampler: Literal["dpm-solver++", "dpm-solver++-sde", "unipc", "euler", "ddim"] = setting(
        "dpm-solver++", "how noise becomes sound, step by step"
    )
    num_inference_steps: int = setting(25, "denoising steps; more is slower", unit="steps", ge=1, le=1000)
    eta: float = setting(0.0, "fresh noise in each step of the ddim sampler: 0 none, 1 as in training", ge=0, le=1)
    guidance_scale: float = setting(
        2.5,
        "how strongly the sound follows its condition (classifier-free guidance of the generator); 1 is off",
        ge=1,
        le=30,
    )
    micro_batch: int = setting(
        0, "windows seen at once (0: 32 on a GPU, else 8); halved when memory runs out", unit="windows", ge=0
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "number format of UNet and VAE; auto: bf16 where the processor or GPU computes in it, else fp32"
    )
    compile: bool = setting(
        False, "torch.compile of the UNet: a minute or more at the start, up to twice the speed of its steps on a GPU"
    )

    @property
    def max_duration_s(self) -> float:
        """The longest sound that is made at once, in seconds."""
        return MAX_DURATION_S

    @property
    def summary(self) -> str:
        """Sampler, steps and guidance."""
        return f"{self.sampler}, {self.num_inference_steps} steps, guidance {self.guidance_scale:g}"

    def identity(self) -> dict[str, pydantic.JsonValue]:
        """All but what only changes the speed."""
        return self.model_dump(mode="json", exclude={"micro_batch", "compile"})

    @pydantic.field_validator("eta")
    @classmethod
    def _eta_is_used(cls, eta: float, info: pydantic.ValidationInfo) -> float:
        sampler = info.data.get("sampler")
        if eta > 0 and sampler != "ddim":
            raise ValueError(f"eta is for the ddim sampler: with {sampler}, set it to 0")
        return eta


class AudioLdm:
    """AudioLDM as bundles name it."""

    def files(self, folder: Path) -> dict[str, Path]:
        """The files that it is made of, by their name inside the folder.

        Raises:
            ModelError: When there is no such folder.
        """
        if not folder.is_dir():
            raise ModelError(f"{folder} must be a diffusers folder of AudioLDM")
        return {name: path for name, path in digests.tree(folder).items() if path.suffix in _FILES}

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
