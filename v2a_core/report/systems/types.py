"""What the page of systems shows, as plain data. All text may come from strangers; the page escapes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

REFERENCES = "references"


@dataclass(frozen=True)
class Sound:
    """What a system made for a clip, or the clip's own sound.

    Attributes:
        uri: A sound file, or the video that it is the sound of.
        is_video: Which of them.
        error: Why it cannot be heard; empty when it can.
        values: Of the metrics that are means over clips, by name.
        onsets_s: When something begins to sound.
        verdict: The class that a judge heard.
        prompt: Words that it was made from beside the pictures.
        seed: Of its noise.
    """

    uri: str
    is_video: bool = False
    error: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    onsets_s: Sequence[float] = ()
    verdict: str | None = None
    prompt: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Clip:
    """A row of the page.

    Attributes:
        name: The clip's id.
        sounds: By system, the references' under `REFERENCES`; a system that made none is not in it.
        label, caption: Of the catalog or index.
    """

    name: str
    sounds: Mapping[str, Sound]
    label: str | None = None
    caption: str | None = None


@dataclass(frozen=True)
class ClipMetric:
    """A metric that every clip has a value of: what clips are sorted by."""

    name: str
    title: str
    better: str


@dataclass(frozen=True)
class Bar:
    """A system's number.

    Attributes:
        system: Its name.
        value: None when it was not measured.
        low, high: The interval; None where there is none.
        count: Sounds.
        reason: Why it was not measured.
        difference: From the first system, as text; empty for the first one itself.
        surely: Its interval, as text; empty where there is none.
    """

    system: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    reason: str = ""
    difference: str = ""
    surely: str = ""


@dataclass(frozen=True)
class Chart:
    """A metric of all systems.

    Attributes:
        title: What tables call it.
        better: `higher` or `lower`.
        bars: Of each system, in their order.
        beside: What else is worth knowing, such as what silence gets, by name.
    """

    title: str
    better: str
    bars: Sequence[Bar]
    beside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemsReport:
    """Everything on the page.

    Attributes:
        systems: Names, the first one first.
        clips: The worst first.
        total: Clips of the comparison; more than those when the page is limited.
        metrics: What clips are sorted by, the first one first.
        charts: Of the metrics that were measured of a system at least.
        files: What is wrong with files, a sentence each.
        made_with: What is worth reading beside the numbers, by name.
        version: Of the program.
        has_references: Whether there are real sounds.
        title: Of the page.
    """

    systems: Sequence[str]
    clips: Sequence[Clip]
    total: int
    metrics: Sequence[ClipMetric]
    charts: Sequence[Chart]
    files: Sequence[str]
    made_with: Mapping[str, str]
    version: str
    has_references: bool
    title: str = "Systems side by side"
