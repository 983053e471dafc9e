"""Cards of a page: links to media, pictures and plots of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from v2a_core import storage
from v2a_core.media.types import MediaError
from v2a_core.report.plots import RATE, Posters, Waveform, read_waveform, spectrogram_png, waveform_path
from v2a_core.report.shelf import Shelf
from v2a_core.report.types import PageEntry


@dataclass(frozen=True)
class Take:
    """One side of a comparison, ready for the template; links are relative and percent-encoded."""

    title: str
    video: str | None = None
    picture: str | None = None
    audio: str | None = None
    spectrogram: str | None = None
    waveform: str | None = None
    start_s: float = 0.0
    duration_s: float = 0.0
    silence: str = ""
    events: Sequence[tuple[float, float]] = ()  # place, as a share of the plots' length, and how sure it is


@dataclass(frozen=True)
class Card:
    """An entry with its takes; `original` is None when what was made is shown alone."""

    entry: PageEntry
    made: Take
    original: Take | None


class Painter:
    """Makes cards for a page in `folder`; for several threads at once."""

    def __init__(self, folder: str, posters: Posters) -> None:
        self._shelf, self._posters = Shelf(folder), posters

    def card(self, number: int, entry: PageEntry) -> Card:
        """The card of an entry; what cannot be read costs its plots, not the page."""
        original = self._original(number, entry) if entry.original else None
        made = self._made(number, entry)
        return Card(entry, replace(made, picture=self._picture(number, entry)), original)

    def _original(self, number: int, entry: PageEntry) -> Take:
        assert entry.original is not None  # the caller looked
        link = self._shelf.place(entry.original, f"{number:04d}-original")
        if entry.kind == "image":
            return Take("Original", picture=link, silence="a still image has no sound")
        poster = self._poster(entry.original, entry)
        take = Take("Original", video=link, picture=self._shelf.save(f"{number:04d}-original.jpg", poster))
        try:
            with storage.local_copy(entry.original) as path:
                waveform = read_waveform(path)
        except (MediaError, OSError) as error:
            return replace(take, silence=str(error))
        if waveform is None:
            return replace(take, silence="silent: there is no sound in the original")
        return self._plotted(take, f"{number:04d}-original.png", waveform, entry.events, entry.start_s)

    def _made(self, number: int, entry: PageEntry) -> Take:
        sound = entry.made_audio or entry.made_video
        if sound is None:
            return Take("Made", silence="no soundtrack was made")
        try:
            with storage.local_copy(sound) as path:
                waveform = read_waveform(path, entry.duration_s)
        except (MediaError, OSError) as error:
            return Take("Made", silence=str(error))
        if waveform is None:
            return Take("Made", silence="the soundtrack is silent")
        take = Take(
            "Made",
            video=self._shelf.place(entry.made_video, f"{number:04d}-made") if entry.made_video else None,
            audio=self._shelf.place(entry.made_audio, f"{number:04d}-made") if entry.made_audio else None,
            start_s=entry.start_s if entry.made_audio else 0.0,  # else the plots are of the whole video
        )
        shifted_s = 0.0 if entry.made_audio else entry.start_s
        return self._plotted(take, f"{number:04d}-made.png", waveform, entry.events, shifted_s)

    def _picture(self, number: int, entry: PageEntry) -> str | None:
        seen = entry.made_video or entry.original or entry.source
        return None if seen is None else self._shelf.save(f"{number:04d}.jpg", self._poster(seen, entry))

    def _poster(self, uri: str, entry: PageEntry) -> bytes | None:
        try:
            with storage.local_copy(uri) as path:
                return self._posters.jpeg(path, entry.kind, entry.start_s + entry.duration_s / 2)
        except (OSError, ValueError):  # gone, or of a storage that cannot be reached from here
            return None

    def _plotted(
        self, take: Take, name: str, waveform: Waveform, events: Sequence[tuple[float, float]], shifted_s: float
    ) -> Take:
        """The take with its plots, over which events stand that begin `shifted_s` later than in the soundtrack."""
        spectrogram, duration_s = self._shelf.save(name, spectrogram_png(waveform)), len(waveform) / RATE
        places = [((time_s + shifted_s) / duration_s, sure) for time_s, sure in events]
        return replace(
            take,
            spectrogram=spectrogram,
            waveform=waveform_path(waveform),
            duration_s=duration_s,
            events=[(place, sure) for place, sure in places if place <= 1],
        )
