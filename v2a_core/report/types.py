"""What a listening page shows, as plain data. All text may come from strangers; the page escapes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
class PageEntry:
    """One source and its soundtrack.

    Attributes:
        name: Path inside the catalog.
        kind: Video or still image.
        made_video: Path or URI of the copy of the video with the made sound; None for images.
        made_audio: The made sound as an audio file.
        original: The source, to be shown beside it; None to show what was made alone.
        source: Where the source is; a still's picture is made from it.
        start_s: Where the soundtrack begins in the video.
        duration_s: Length of the soundtrack.
        label, caption, split: From the catalog, if it has them.
        verdict: Of a judge on the made sound, if there is one.
        similarity: Mean CLAP similarity of the sound to its conditions, if it was measured.
        events: When something was seen to begin to sound, in seconds of the soundtrack, and how sure that is, 0 to 1.
    """

    name: str
    kind: Literal["video", "image"]
    made_video: str | None
    made_audio: str | None
    original: str | None = None
    source: str | None = None
    start_s: float = 0.0
    duration_s: float = 0.0
    label: str | None = None
    caption: str | None = None
    split: str | None = None
    verdict: Verdict | None = None
    similarity: float | None = None
    events: Sequence[tuple[float, float]] = ()


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
class PageReport:
    """Everything on the page.

    Attributes:
        entries: In the order of the page.
        rejects: Sources without a soundtrack.
        rejected: Their number; more than those when the page is limited.
        bundle: Which models made it.
        version: Of the program.
        total: Soundtracks of the output; more than the entries when the page is limited.
        jobs: In the order they ran.
        settings: A few settings worth reading, such as seed and sampling steps.
        scores: Metrics over all soundtracks.
        title: Of the page.
    """

    entries: Sequence[PageEntry]
    rejects: Sequence[RejectReport]
    bundle: BundleReport
    version: str
    total: int
    rejected: int
    jobs: Sequence[JobReport] = ()
    settings: Mapping[str, int | float | str] = field(default_factory=dict)
    scores: Sequence[MetricReport] = ()
    title: str = "Soundtracks for silent video"
