"""Soundtracks for evaluations, and their settings."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import helpers_catalog

from v2a_core.config import load
from v2a_core.models import load_bundle
from workflows.evaluate.config import EvaluateJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

SAMPLING = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.image_segment_s=1.0")
QUICK = ("generator.num_inference_steps=2", "generator.precision=fp32", "encoders.precision=fp32")
SETTINGS = (
    "encoders.precision=fp32",
    "metrics.resamples=50",
    "output.interval_s=0",
)


def job(*overrides: str) -> EvaluateJob:
    return load(EvaluateJob, job="evaluate", overrides=[*SETTINGS, *overrides])


class Made(NamedTuple):
    """What was listed, and what `v2a generate` made of it with a random mapper."""

    listed: list[str]
    mapper: str
    soundtracks: Path
    summary: dict[str, Any]


def write_table(folder: Path, *more: str) -> str:
    """The catalog's loose files as a table: labels, captions, and a span of one of them; then more names."""
    rows: list[dict[str, object]] = [
        {"uri": "rain/one.mp4", "label": "rain", "caption": "rain on a roof"},
        {"uri": "bell/one.mp4", "label": "bell", "caption": "a bell", "start_s": 1.0, "duration_s": 1.0},
        {"uri": "bell/mute & odd%20[name].mp4", "label": "bell", "caption": "a bell, far away"},
        {"uri": "still.png", "caption": "a still"},
        *({"uri": name} for name in more),
    ]
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["uri", "label", "caption", "start_s", "duration_s"])
        writer.writeheader()
        writer.writerows(rows)
    return str(folder / "table.csv")


def sampling(*overrides: str) -> GenerateJob:
    """How the soundtracks are made."""
    return load(GenerateJob, job="generate", overrides=[*SAMPLING, *QUICK, "output.interval_s=0", *overrides])


def make_soundtracks(folder: Path, listed: list[str]) -> Made:
    """What `v2a generate` makes of a catalog with a random mapper."""
    mapper = helpers_catalog.random_mapper(folder / "mapper", load_bundle("miniature").resolve())
    output = folder / "soundtracks"
    return Made(
        listed, mapper, output, generate.run(listed, str(output), sampling(), mapper=mapper, models="miniature")
    )
