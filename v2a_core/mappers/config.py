"""Typed configuration of mappers: which aggregator, method and network, and how it samples.

The defaults are the paper's, but for the sampling: twenty steps of a better solver instead of two hundred. What belongs
to one method or network alone is beside it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from v2a_core.config import Settings, setting
from v2a_core.mappers.registries import AGGREGATORS, METHODS, NETWORKS
from v2a_core.registry import NameOf, OneOf
from v2a_core.tables.schema import EMBEDDING_DIM

MAPPER_SCHEMA_VERSION = 2

_AGGREGATOR = NameOf(AGGREGATORS, "average")
_METHOD = OneOf(METHODS, "diffusion")
_NETWORK = OneOf(NETWORKS, "transformer")


class SamplingSettings(Settings):
    """How a diffusion or flow mapper samples."""

    scheduler: Literal["auto", "ddim", "dpm++", "euler"] = setting(
        "auto", "the solver: diffusion has ddim (the paper) and dpm++, flow has euler and dpm++; auto: dpm++"
    )
    steps: int = setting(20, "denoising steps: dpm++ is good from 10 on, the paper has 200 of ddim", ge=2, le=1000)
    eta: float = setting(1.0, "fresh noise of a DDIM step: 0 deterministic, 1 as the published prior", ge=0, le=1)
    mapper_guidance_scale: float = setting(
        1.0,
        "how strongly the mapper follows what is seen (classifier-free guidance of its sampling); 1 is off, 0 looks at "
        "nothing",
        ge=0,
        le=50,
    )

    @property
    def is_stochastic(self) -> bool:
        """Whether each step adds noise."""
        return self.scheduler == "ddim" and self.eta > 0


class NetworkSettings(Settings):
    """What the settings of every network are."""

    kind: str = setting(..., "the network")


class MethodSettings(Settings):
    """What the settings of every method are."""

    kind: str = setting(..., "the method")

    @property
    def noise_levels(self) -> int:
        """How many levels of noise the network is told apart; 0 for a network without noisy input."""
        return 0

    @property
    def own_sampling(self) -> SamplingSettings | None:
        """How it samples unless told otherwise; None for a method that does not sample."""
        return None


class MapperSettings(Settings):
    """A mapper: from the embeddings of a segment's frames to the CLAP embedding of its sound."""

    aggregator: Annotated[str, _AGGREGATOR] = setting(_AGGREGATOR, "one vector from a segment's frames")
    method: Annotated[MethodSettings, _METHOD] = setting(_METHOD, "how the target is reached")
    network: Annotated[NetworkSettings, _NETWORK] = setting(_NETWORK, "what computes it")


class MapperConfig(Settings):
    """The `config.json` of an exported mapper."""

    schema_version: int = setting(MAPPER_SCHEMA_VERSION, "version of this file's layout")
    program: dict[str, str] = setting({}, "what wrote it: name, version, commit")
    mapper: MapperSettings = setting(MapperSettings, "the architecture")
    embedding_dim: int = setting(EMBEDDING_DIM, "width of an audio embedding", ge=2)
    vision_dim: int = setting(EMBEDDING_DIM, "width of a visual embedding", ge=2)
    vision_space: str = setting(..., "the space it maps from")
    audio_space: str = setting(..., "the space it maps to")
    parameters: int = setting(0, "trainable numbers", ge=0)
    training: dict[str, Any] = setting({}, "what it was trained on, for how long, how well it does")
