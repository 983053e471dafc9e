"""Typed configuration of mappers: which network, which method, how it samples.

The defaults are the paper's, but for the sampling: twenty steps of a better solver instead of two hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from v2a_core.config import Settings, setting
from v2a_core.tables.schema import EMBEDDING_DIM

MAPPER_SCHEMA_VERSION = 1


def _kind_or(default: str) -> Callable[[Any], str | None]:
    """Tells the members of a choice apart by `kind`; without one it is the default's, so one key can be overridden."""

    def kind_of(value: Any) -> str | None:
        return value.get("kind", default) if isinstance(value, dict) else getattr(value, "kind", None)

    return kind_of


class TransformerSettings(Settings):
    """A causal Transformer over a handful of tokens, read out at a learned query."""

    kind: Literal["transformer"] = setting("transformer", "the network")
    width: int = setting(512, "width of a token", ge=8, le=8192)
    depth: int = setting(12, "blocks", ge=1, le=128)
    heads: int = setting(12, "query heads; they share one key and value head", ge=1, le=128)
    head_dim: int = setting(64, "width of a head", ge=2, le=512, multiple_of=2)
    feed_forward_multiplier: int = setting(4, "inner width of the feed-forward part, in widths", ge=1, le=16)


class MlpSettings(Settings):
    """Residual layers over the concatenated inputs."""

    kind: Literal["mlp"] = setting("mlp", "the network")
    width: int = setting(1024, "width of the residual stream", ge=8, le=16384)
    # Eleven blocks of this width hold as many parameters as the paper's Transformer.
    depth: int = setting(11, "residual blocks", ge=1, le=128)
    multiplier: int = setting(2, "inner width of a block, in widths", ge=1, le=16)


NetworkSettings = Annotated[
    Annotated[TransformerSettings, Tag("transformer")] | Annotated[MlpSettings, Tag("mlp")],
    Discriminator(_kind_or("transformer")),
]


class SamplingSettings(Settings):
    """How a diffusion or flow mapper samples."""

    scheduler: Literal["auto", "ddim", "dpm++", "euler"] = setting(
        "auto", "the solver: diffusion has ddim (the paper) and dpm++, flow has euler and dpm++; auto: dpm++"
    )
    steps: int = setting(20, "denoising steps: dpm++ is good from 10 on, the paper has 200 of ddim", ge=2, le=1000)
    eta: float = setting(1.0, "fresh noise of a DDIM step: 0 deterministic, 1 as the published prior", ge=0, le=1)
    guidance_scale: float = setting(1.0, "classifier-free guidance; 1: none", ge=0, le=50)

    @property
    def is_stochastic(self) -> bool:
        """Whether each step adds noise."""
        return self.scheduler == "ddim" and self.eta > 0


class DiffusionSettings(Settings):
    """Denoises the audio embedding, conditioned on the visual one; predicts the clean embedding."""

    kind: Literal["diffusion"] = setting("diffusion", "the method")
    time_steps: int = setting(1000, "steps of the noise schedule (squared cosine)", ge=10, le=10_000)
    condition_dropout: float = setting(0.1, "share of training rows that see the null condition", ge=0, lt=1)
    sampling: SamplingSettings = setting(SamplingSettings, "how embeddings are sampled, unless told otherwise")


class FlowSettings(Settings):
    """Follows straight paths from noise to the audio embedding, conditioned on the visual one."""

    kind: Literal["flow"] = setting("flow", "the method")
    time_steps: int = setting(1000, "noise levels of the training, evenly spread", ge=10, le=10_000)
    condition_dropout: float = setting(0.1, "share of training rows that see the null condition", ge=0, lt=1)
    sampling: SamplingSettings = setting(SamplingSettings, "how embeddings are sampled, unless told otherwise")


class RegressionSettings(Settings):
    """Predicts the audio embedding directly."""

    kind: Literal["regression"] = setting("regression", "the method")
    loss: Literal["mse", "cosine"] = setting("mse", "squared error, or one minus cosine similarity")


MethodSettings = Annotated[
    Annotated[DiffusionSettings, Tag("diffusion")]
    | Annotated[FlowSettings, Tag("flow")]
    | Annotated[RegressionSettings, Tag("regression")],
    Discriminator(_kind_or("diffusion")),
]


class MapperSettings(Settings):
    """A mapper: from the CLIP embeddings of a segment's frames to the CLAP embedding of its sound."""

    aggregator: Literal["average", "middle", "random"] = setting("average", "one vector from a segment's frames")
    method: MethodSettings = setting(DiffusionSettings, "how the target is reached")
    network: NetworkSettings = setting(TransformerSettings, "what computes it")


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
