"""Typed configuration of the score."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.mappers.config import MapperSettings, SamplingSettings
from v2a_core.metrics.config import IntervalSettings
from v2a_core.training.config import OptimizerSettings, TrainingSettings, ValidationSettings


class MetricSettings(IntervalSettings):
    """Intervals of the score."""

    resamples: int = setting(500, "bootstrap resamples of means and correlations", ge=10, le=100_000)
    frechet_resamples: int = setting(40, "bootstrap resamples of a Fréchet distance (each costs one)", ge=0, le=10_000)


class ScoreSettings(Settings):
    """How much is measured. The defaults fit into ten minutes on two cores."""

    world_seed: int = setting(0, "seed of the world; its training split trains mappers", ge=0)
    split: Literal["test", "validation"] = setting("test", "what is scored; to choose a setting by, take validation")
    per_class: int = setting(20, "held-out scenes of each kind", ge=1)
    stills_per_class: int = setting(5, "held-out stills of each kind, in the other drawing style", ge=1)
    comparison_per_class: int = setting(4, "scenes of each kind that the mappers compared are heard on", ge=1)
    follow_per_class: int = setting(10, "scenes of each kind on which it is heard how curves are followed", ge=1)
    pairs: int = setting(1200, "training scenes that mappers are trained on", ge=12)
    length_s: float = setting(5.0, "length of a scene and of what is made for it", unit="s", ge=0.5, le=10)
    frames_per_second: float = setting(1.0, "frames of a scene that are seen", unit="1/s", gt=0)
    mapper_steps: int = setting(200, "training steps of a mapper", ge=1)
    mapper_batch: int = setting(96, "rows of a step", ge=1)
    learning_rate: float = setting(5e-4, "of the mappers", gt=0)
    transformer_depth: int = setting(2, "blocks of the paper's Transformer (paper: 12)", ge=1)
    mlp_depth: int = setting(2, "blocks of the MLP", ge=1)
    sampling_steps: int = setting(20, "steps of a diffusion mapper's sampler (DPM-Solver++; paper: DDIM, 200)", ge=2)
    mapper_guidance: float = setting(1.5, "guidance of a diffusion mapper, chosen on the validation split", ge=0)
    generator: AudioLdmSettings = setting(
        AudioLdmSettings(num_inference_steps=8, guidance_scale=2.0),
        "how AudioLDM samples what is heard; fewer steps than `v2a generate` has, for the time; guidance chosen on the "
        "validation split",
    )
    metrics: MetricSettings = setting(MetricSettings, "intervals")
    processes: int = setting(2, "processes, one thread each; 1: this one", ge=1, le=64)

    def mapper(self, method: str, network: str, aggregator: str = "average") -> MapperSettings:
        """The architecture of one of the mappers that are compared."""
        sampling = SamplingSettings(
            scheduler="dpm++", steps=self.sampling_steps, eta=0.0, mapper_guidance_scale=self.mapper_guidance
        )
        depth = self.transformer_depth if network == "transformer" else self.mlp_depth
        return MapperSettings.model_validate(
            {
                "aggregator": aggregator,
                "method": {"kind": method} | ({"sampling": sampling} if method == "diffusion" else {}),
                "network": {"kind": network, "depth": depth},
            }
        )

    def training(self) -> TrainingSettings:
        """How mappers are trained: all alike, for a fixed number of steps."""
        return TrainingSettings(
            epochs=1_000_000,
            max_steps=self.mapper_steps,
            global_batch=self.mapper_batch,
            optimizer=OptimizerSettings(
                learning_rate=self.learning_rate, warmup_steps=20, decay="cosine", ema_decay=0.98
            ),
            validation=ValidationSettings(every_epochs=1_000_000, sampled_rows=120),
        )
