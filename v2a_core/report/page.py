"""Writes the demo page: one HTML file and the media beside it, for opening from disk.

The page loads nothing from anywhere else, and runs no script but its own: text from catalogs is escaped, and a
content security policy allows the one inline script by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import jinja2

from v2a_core import storage
from v2a_core.media.types import MediaError
from v2a_core.report.plots import RATE, Waveform, poster_jpeg, read_waveform, spectrogram_png, waveform_path
from v2a_core.report.types import DemoEntry, DemoReport

_TEMPLATES = Path(__file__).parent
_MEDIA = "page-media"


@dataclass(frozen=True)
class Take:
    """One side of a comparison, ready for the template; links are relative and percent-encoded."""

    title: str
    video: str | None = None
    poster: str | None = None
    picture: str | None = None
    audio: str | None = None
    spectrogram: str | None = None
    waveform: str | None = None
    duration_s: float = 0.0
    silence: str = ""


@dataclass(frozen=True)
class Card:
    """An entry with its two takes."""

    entry: DemoEntry
    original: Take
    made: Take


def write_demo_page(folder: Path, report: DemoReport) -> Path:
    """Write `folder/index.html`.

    Files of the report that lie inside `folder` are linked, others are copied into `folder/page-media`; plots go
    there too.

    Args:
        folder: A local folder; made if it is not there.
        report: What to show.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cards = [_card(folder, number, entry) for number, entry in enumerate(report.entries)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = _seconds
    script = (_TEMPLATES / "script.html").read_text(encoding="utf-8")
    html = environment.get_template("page.html").render(
        report=report,
        cards=cards,
        script_hash=_script_hash(script),
        soundtracks=sum(card.made.spectrogram is not None for card in cards),
        total_s=sum(job.seconds for job in report.jobs),
    )
    page = folder / "index.html"
    storage.write_bytes(str(page), html.encode())
    return page


def href(folder: Path, path: Path) -> str:
    """A link from the page to a file inside its folder.

    Every character that means something in a URL is percent-encoded, and the link starts with `./`, so no file name
    can turn into a scheme, a query or a fragment.
    """
    relative = path.resolve().relative_to(folder.resolve())
    return "./" + quote(relative.as_posix(), safe="/")


def _card(folder: Path, number: int, entry: DemoEntry) -> Card:
    place = _placer(folder, number)
    original = _original(folder, number, entry, place)
    made = _made(folder, number, entry, place)
    return Card(entry, original, replace(made, poster=original.poster, picture=original.picture))


def _original(folder: Path, number: int, entry: DemoEntry, place: Callable[[Path, str], str]) -> Take:
    if entry.original is None:
        return Take("Original", silence="not kept")
    link = place(entry.original, "original")
    if entry.kind == "image":
        return Take("Original", picture=link, silence="a still image has no sound")
    try:
        waveform = read_waveform(entry.original)
        picture = poster_jpeg(entry.original)
    except MediaError as error:
        return Take("Original", video=link, silence=str(error))
    poster = _save(folder, f"{number:04d}-poster.jpg", picture) if picture else None
    take = Take("Original", video=link, poster=poster, silence="silent: there is no sound in the original")
    return take if waveform is None else _plotted(take, folder, f"{number:04d}-original.png", waveform)


def _made(folder: Path, number: int, entry: DemoEntry, place: Callable[[Path, str], str]) -> Take:
    sound = entry.made_audio or entry.made_video
    if sound is None:
        return Take("Made", silence="no soundtrack was made")
    waveform = read_waveform(sound)
    if waveform is None:
        return Take("Made", silence="the soundtrack is silent")
    take = Take(
        "Made",
        video=place(entry.made_video, "made") if entry.made_video else None,
        audio=place(entry.made_audio, "made") if entry.made_audio and not entry.made_video else None,
    )
    return _plotted(take, folder, f"{number:04d}-made.png", waveform)


def _plotted(take: Take, folder: Path, name: str, waveform: Waveform) -> Take:
    spectrogram = _save(folder, name, spectrogram_png(waveform))
    return replace(take, spectrogram=spectrogram, waveform=waveform_path(waveform), duration_s=len(waveform) / RATE)


def _placer(folder: Path, number: int) -> Callable[[Path, str], str]:
    """Gives the link to a file, after a copy into the page's folder when it is elsewhere."""

    def place(path: Path, role: str) -> str:
        if path.resolve().is_relative_to(folder.resolve()):
            return href(folder, path)
        copy = folder / _MEDIA / f"{number:04d}-{role}{path.suffix.lower()}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        return href(folder, copy)

    return place


def _save(folder: Path, name: str, data: bytes) -> str:
    path = folder / _MEDIA / name
    storage.write_bytes(str(path), data)
    return href(folder, path)


def _script_hash(script: str) -> str:
    """The CSP source of the inline script: what stands between its tags, exactly."""
    body = script.split("<script>", 1)[1].rsplit("</script>", 1)[0]
    return "'sha256-" + base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() + "'"


def _seconds(value: float) -> str:
    """A time a person reads: `0.4 s`, `12 s`, `2 min 05 s`."""
    if value < 10:
        text = f"{value:.1f} s"
    elif value < 90:
        text = f"{value:.0f} s"
    else:
        text = "{} min {:02d} s".format(*divmod(round(value), 60))
    return text.replace(" ", "\N{NO-BREAK SPACE}")
