"""The model card of an exported mapper: what it is, what it was trained on, how well it does, its licence."""

from __future__ import annotations

from typing import Any

import yaml

from v2a_core.mappers.config import MapperConfig

CARD_FILE = "README.md"

_METRICS = {
    "validation_loss": "loss",
    "validation_cosine": "cosine similarity to the true embedding",
    "validation_recall_at_1": "retrieval seen -> heard, R@1",
    "validation_recall_at_5": "R@5",
    "validation_recall_at_10": "R@10",
    "validation_median_rank": "median rank",
    "validation_frechet": "Fréchet distance to the true embeddings",
    "validation_variance_ratio": "variance, mapped / true",
}

_TEXT = """---
{head}---
# A V2A mapper: {method} {network}

Maps what CLIP saw in the frames of a video to the CLAP embedding of a sound that fits, from which AudioLDM makes the
sound (V2A-Mapper, AAAI 2024). {parameters:,} parameters; frames are aggregated by `{aggregator}`.

    from v2a_core.mappers.export import Mapper

    mapper = Mapper.from_pretrained("path, URI or hub name of this folder")
    clap_embeddings = mapper(vision_frames, num_samples=4, mapper_guidance_scale=1.0, seed=0)  # (4, 512)

It fits only embeddings of these spaces (fingerprints of the encoders' weights), and refuses no others by itself:

- from `{vision}`
- to `{audio}`

## Data

{data}

## Metrics

Of the exported state (step {step}), on validation sources that were not trained on:

{metrics}

## Licence

`{license}`, as chosen by who trained it. The mapper is of use only together with CLIP (MIT) and with AudioLDM and its
CLAP, whose weights are CC BY-NC-SA 4.0 according to their model cards; training data have licences of their own.
"""


def write_card(config: MapperConfig, license_name: str) -> str:
    """The text of the card."""
    best: dict[str, Any] = config.training.get("best", {})
    head = {"license": license_name, "library_name": "v2a", "tags": ["video-to-audio", "clip", "clap", "audioldm"]}
    return _TEXT.format(
        head=yaml.safe_dump(head, sort_keys=False),
        method=config.mapper.method.kind,
        network=config.mapper.network.kind,
        parameters=config.parameters,
        aggregator=config.mapper.aggregator,
        vision=config.vision_space,
        audio=config.audio_space,
        data=_data(config.training),
        step=best.get("step", "unknown"),
        metrics=_metrics(best),
        license=license_name,
    )


def _data(training: dict[str, Any]) -> str:
    counts: dict[str, Any] = training.get("counts", {})
    if not counts:
        return "Not recorded."
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in counts["left_out"].items() if count) or "none"
    splits = ", ".join(f"{counts[name]:,} {name}" for name in ("train", "validation", "test"))
    return (
        f"Pairs of frames and sound by split: {splits}. Left out: {left_out}. Source: `{training.get('embeddings')}`. "
        f"{training['steps']:,} steps ({training['epochs']:,} epochs), seed {training['seed']}; all settings are in "
        "`config.json`."
    )


def _metrics(best: dict[str, Any]) -> str:
    lines = ["| metric | value |", "|---|---|"]
    lines += [f"| {title} | {best[name]:.4g} |" for name, title in _METRICS.items() if best.get(name) is not None]
    return "\n".join(lines)
