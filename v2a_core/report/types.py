"""What the demo page shows, as plain data. All text may come from strangers; the page escapes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """What an independent judge heard.

    Attributes:
        label: The class.
        probability: How sure the judge is, 0..1.
        right: Whether it is the label of the source.
    """

    label: str
    probability: float
    right: bool


@dataclass(frozen=True)
class MetricReport:
    """One metric over all soundtracks, with its interval if it has one; `better` is `higher` or `lower`."""

    title: str
    value: float
    low: float | None
    high: float | None
    better: str


@dataclass(frozen=True)
class DemoEntry:
    """One source and its soundtrack.

    Attributes:
        name: Path inside the catalog.
        kind: Video or still image.
        label, caption, split: From the catalog, if it has them.
        original: The source as a local file; copied beside the page unless it is there already.
        made_video: Copy of the video with the made sound; None for images.
        made_audio: The made sound as a WAV or FLAC file.
        verdict: Of a judge on the made sound, if there is one.
    """

    name: str
    kind: Literal["video", "image"]
    original: Path | None
    made_video: Path | None
    made_audio: Path | None
    label: str | None = None
    caption: str | None = None
    split: str | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class JobReport:
    """One job of the run.

    Attributes:
        name: `embed`, `train`, `generate`, ...
        seconds: Wall time of the job.
        counts: What it did, in the order to show: `{"sources": 26, "rejected": 1}`; values are shown as they are.
        stage_seconds: Seconds spent by stage, summed over workers.
    """

    name: str
    seconds: float
    counts: Mapping[str, int | float | str] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RejectReport:
    """A source that gave no soundtrack, and why."""

    name: str
    stage: str
    error_type: str
    message: str
    attempts: int = 1
    job: str = ""


@dataclass(frozen=True)
class ModelReport:
    """One model: its part in the system, what it is, and the sha256 of its weights."""

    part: str
    description: str
    fingerprint: str


@dataclass(frozen=True)
class BundleReport:
    """The models that made the sounds. `trained` is False for random weights."""

    name: str
    trained: bool
    models: Sequence[ModelReport] = ()


@dataclass(frozen=True)
class DemoReport:
    """Everything on the page.

    Attributes:
        entries: In the order of the page.
        jobs: In the order they ran.
        rejects: Sources without a soundtrack.
        bundle: Which models made it.
        version: Of the program.
        settings: A few settings worth reading, such as seed and sampling steps.
        scores: Metrics over all soundtracks.
        title: Of the page.
    """

    entries: Sequence[DemoEntry]
    jobs: Sequence[JobReport]
    rejects: Sequence[RejectReport]
    bundle: BundleReport
    version: str
    settings: Mapping[str, int | float | str] = field(default_factory=dict)
    title: str = "Soundtracks for silent video"
    scores: Sequence[MetricReport] = ()
