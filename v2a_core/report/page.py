"""Writes the listening page: one HTML file, with small pictures in a folder beside it.

The page loads nothing from anywhere else, no media before they are wanted, and runs no script but its own: text from
catalogs is escaped, and a content security policy allows the one inline script by its hash. All links are relative,
so that the folder can be moved and served as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from v2a_core import pages, storage
from v2a_core.compute.threads import ScopedThreads
from v2a_core.media.config import GuardSettings
from v2a_core.report.cards import Card, Painter
from v2a_core.report.plots import Posters
from v2a_core.report.types import PageReport

_HERE = Path(__file__).parent


def write_page(page: str, report: PageReport, decoder: GuardSettings | None = None) -> str:
    """Write a page.

    Media that lie in the page's folder, or in folders inside it, are linked; others are copied into `page-media/`
    beside the page. Plots and pictures go there too.

    Args:
        page: Path or URI of the HTML file.
        report: What to show.
        decoder: Limits of the processes that make pictures of videos.

    Returns:
        The page, in one spelling.
    """
    page = storage.canonical(page)
    posters = Posters(decoder or GuardSettings())
    painter = Painter(page.rpartition("/")[0], posters)
    try:
        with ScopedThreads(min(8, os.cpu_count() or 1)) as threads:
            cards = list(threads.map(painter.card, range(len(report.entries)), report.entries))
    finally:
        posters.close()
    storage.write_bytes(page, _render(report, cards))
    return page


def _render(report: PageReport, cards: list[Card]) -> bytes:
    values: dict[str, object] = {
        "report": report,
        "cards": cards,
        "labels": sorted({entry.label for entry in report.entries if entry.label}),
        "compared": any(card.original for card in cards),
        "soundtracks": sum(card.made.spectrogram is not None for card in cards),
        "total_s": sum(job.seconds for job in report.jobs),
    }
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    return pages.render(_HERE / "page.html", values, title=report.title, script=script, filters={"seconds": _seconds})


def _seconds(value: float) -> str:
    """A time a person reads: `0.4 s`, `12 s`, `2 min 05 s`."""
    if value < 10:
        text = f"{value:.1f} s"
    elif value < 90:
        text = f"{value:.0f} s"
    else:
        text = "{} min {:02d} s".format(*divmod(round(value), 60))
    return text.replace(" ", "\N{NO-BREAK SPACE}")
