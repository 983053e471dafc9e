"""Typed configuration of AudioLDM."""

from __future__ import annotations

from typing import Literal

import pydantic

from v2a_core.config import setting
from v2a_core.generators.adapters import AdapterSettings
from v2a_core.generators.config import GeneratorSettings

# What AudioLDM was trained on; twice that is the longest window it is asked to see.
TRAINED_S = 10.24
MAX_DURATION_S = 2 * TRAINED_S


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
        "auto",
        "number format of UNet and VAE (the VAE on a GPU: fp32); auto: bf16 where the processor or GPU computes in it, "
        "else fp32",
    )
    compile: bool = setting(
        False, "torch.compile of the UNet: a minute or more at the start, up to twice the speed of its steps on a GPU"
    )
    adapter: AdapterSettings = setting(AdapterSettings, "how a curve is followed, where there is one (`--curve`)")

    @property
    def max_duration_s(self) -> float:
        """The longest sound that is made at once, in seconds."""
        return MAX_DURATION_S

    @property
    def summary(self) -> str:
        """Sampler, steps and guidance."""
        return f"{self.sampler}, {self.num_inference_steps} steps, guidance {self.guidance_scale:g}"

    def identity(self) -> dict[str, pydantic.JsonValue]:
        """All but what only changes the speed, and what only counts where there is a curve."""
        return self.model_dump(mode="json", exclude={"micro_batch", "compile", "adapter"})

    def following(self) -> dict[str, pydantic.JsonValue]:
        """How strongly, and how long."""
        return self.adapter.model_dump(mode="json")

    @pydantic.field_validator("eta")
    @classmethod
    def _eta_is_used(cls, eta: float, info: pydantic.ValidationInfo) -> float:
        sampler = info.data.get("sampler")
        if eta > 0 and sampler != "ddim":
            raise ValueError(f"eta is for the ddim sampler: with {sampler}, set it to 0")
        return eta
