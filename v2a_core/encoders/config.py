"""Typed configuration of the encoders."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting


class EncoderSettings(Settings):
    """How an encoder runs; what it is comes from the bundle."""

    micro_batch: int = setting(
        0,
        "frames or waveforms in a forward pass, at most; 0: 32 on a GPU, else 16; halved when memory runs out",
        ge=0,
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "number format of the network; auto: bf16 where the processor or GPU computes in it, else fp32"
    )
