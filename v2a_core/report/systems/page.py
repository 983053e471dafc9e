"""Writes the page of systems: one HTML file, with sounds, videos and plots in a folder beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from v2a_core import pages, storage
from v2a_core.compute.threads import ScopedThreads
from v2a_core.media.config import GuardSettings
from v2a_core.media.resample import is_silent
from v2a_core.media.types import MediaError
from v2a_core.report.plots import RATE, Posters, read_waveform, spectrogram_png, waveform_path
from v2a_core.report.shelf import Shelf
from v2a_core.report.systems.types import REFERENCES, Bar, Chart, Clip, Sound, SystemsReport

_HERE = Path(__file__).parent
_COLUMNS = 80  # of a waveform
_MOST_MARKS = 60  # of onsets: more of them are a carpet


@dataclass(frozen=True)
class Take:
    """A sound of a row, ready for the template; links are relative and percent-encoded.

    Attributes:
        system: Whose.
        sound: As it was given.
        audio: To play; None when there is none, or the row's video has it.
        spectrogram, waveform: Plots.
        duration_s: Length.
        marks: Where onsets are, as shares of the length.
        nothing: Why there is nothing to play.
    """

    system: str
    sound: Sound | None
    audio: str | None = None
    spectrogram: str | None = None
    waveform: str | None = None
    duration_s: float = 0.0
    marks: tuple[float, ...] = ()
    nothing: str = ""


@dataclass(frozen=True)
class Row:
    """A clip with its takes; the real one is first, where there are references."""

    clip: Clip
    takes: tuple[Take, ...]
    video: str | None
    poster: str | None


@dataclass(frozen=True)
class Drawn:
    """A bar of a chart as shares of its width, 0..1.

    Attributes:
        bar: Its numbers.
        start, length: Of the bar.
        low, high: Of the interval; None where there is none.
    """

    bar: Bar
    start: float = 0.0
    length: float = 0.0
    low: float | None = None
    high: float | None = None


def write_systems_page(page: str, report: SystemsReport, decoder: GuardSettings | None = None) -> str:
    """Write the page.

    Sounds and videos that lie in the page's folder are linked; others are copied into `page-media/` beside the page.

    Args:
        page: Path or URI of the HTML file.
        report: What to show.
        decoder: Limits of the processes that make pictures of videos.

    Returns:
        The page, in one spelling.
    """
    page = storage.canonical(page)
    posters = Posters(decoder or GuardSettings())
    painter = Painter(Shelf(page.rpartition("/")[0]), posters, report)
    try:
        with ScopedThreads(min(8, os.cpu_count() or 1)) as threads:
            rows = list(threads.map(painter.row, range(len(report.clips)), report.clips))
    finally:
        posters.close()
    values: dict[str, object] = {
        "report": report,
        "rows": rows,
        "charts": [(chart, drawn(chart)) for chart in report.charts],
        "labels": sorted({clip.label for clip in report.clips if clip.label}),
        "titles": {metric.name: metric.title for metric in report.metrics},
    }
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    template = _HERE / "page.html"
    html = pages.render(template, values, title=report.title, script=script, includes=_HERE.parent)
    storage.write_bytes(page, html)
    return page


class Painter:
    """Makes rows of the page; for several threads at once.

    Args:
        shelf: Where files are put.
        posters: Makes pictures of videos.
        report: What the page shows.
    """

    def __init__(self, shelf: Shelf, posters: Posters, report: SystemsReport) -> None:
        self._shelf, self._posters = shelf, posters
        self._systems = [*([REFERENCES] if report.has_references else []), *report.systems]

    def row(self, number: int, clip: Clip) -> Row:
        """The row of a clip; what cannot be read costs its plots, not the page."""
        real = clip.sounds.get(REFERENCES)
        video = poster = None
        if real is not None and real.is_video:
            video, poster = self._video(number, real.uri)
        takes = tuple(
            self._take(f"{number:04d}-{place}", system, clip.sounds.get(system), video)
            for place, system in enumerate(self._systems)
        )
        return Row(clip, takes, video, poster)

    def _video(self, number: int, uri: str) -> tuple[str | None, str | None]:
        try:
            with storage.local_copy(uri) as path:
                poster = self._posters.jpeg(path, "video", 0.5)
            if poster is None:  # what shows no picture is not put beside a page
                return None, None
            return self._shelf.place(uri, f"{number:04d}-video"), self._shelf.save(f"{number:04d}.jpg", poster)
        except (OSError, ValueError):
            return None, None

    def _take(self, name: str, system: str, sound: Sound | None, video: str | None) -> Take:
        if sound is None:
            return Take(system, None, nothing="there is no such file")
        if sound.error:
            return Take(system, sound, nothing=sound.error)
        try:
            with storage.local_copy(sound.uri) as path:
                waveform = read_waveform(path)
            if waveform is None or is_silent(waveform):
                return Take(system, sound, nothing="it has no sound" if sound.is_video else "it is silent")
            audio = self._shelf.place(sound.uri, name) if not sound.is_video else None
        except (MediaError, OSError) as error:
            return Take(system, sound, nothing=str(error))
        duration_s = len(waveform) / RATE
        return Take(
            system,
            sound,
            audio or video,
            self._shelf.save(f"{name}.png", spectrogram_png(waveform)),
            waveform_path(waveform, _COLUMNS),
            duration_s,
            tuple(min(1.0, onset / duration_s) for onset in sound.onsets_s[:_MOST_MARKS]),
        )


def drawn(chart: Chart) -> list[Drawn]:
    """The bars of a chart, all of them on one scale that holds 0 and every interval."""
    known = [value for bar in chart.bars for value in (bar.value, bar.low, bar.high) if value is not None]
    least, most = min([0.0, *known]), max([0.0, *known])
    width = (most - least) or 1.0

    def share(value: float) -> float:
        return (value - least) / width

    found = []
    for bar in chart.bars:
        if bar.value is None:
            found.append(Drawn(bar))
            continue
        start = min(share(0.0), share(bar.value))
        low, high = (None if value is None else share(value) for value in (bar.low, bar.high))
        found.append(Drawn(bar, start, abs(share(bar.value) - share(0.0)), low, high))
    return found
