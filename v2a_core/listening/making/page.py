"""Writes the page that listeners open: one HTML file beside its media, which loads nothing else and sends nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from v2a_core import pages, storage
from v2a_core.listening.key import Item
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.consent import paragraphs
from v2a_core.listening.making.forms import Shown
from v2a_core.listening.making.items import media_path
from v2a_core.listening.questions import LABELS, QUESTIONS, QuestionName

_HERE = Path(__file__).parent
PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Test:
    """What the page knows: nothing of systems.

    Attributes:
        name: Of the test.
        items: Practice first.
        systems: The systems in the order of the key, whose numbers the forms have.
        forms: Orders.
        headphones: Files of the headphone check, from the page.
        films: Whether stimuli have a picture.
        consent: Text that people agree to, paragraphs apart by empty lines.
    """

    name: str
    items: Sequence[Item]
    systems: Sequence[str]
    forms: Sequence[Sequence[Shown]]
    headphones: Sequence[str]
    films: bool
    consent: str


def asked(settings: MakingSettings) -> list[QuestionName]:
    """The questions of a test."""
    return [name for name in QUESTIONS if settings.questions in (name, "both")]


def write_page(output: str, test: Test, settings: MakingSettings) -> str:
    """Write the page.

    Args:
        output: Its folder.
        test: What is on it.
        settings: Its title and questions.

    Returns:
        The page.
    """
    values: dict[str, object] = {
        "data": json.dumps(_data(test, settings), separators=(",", ":")),
        "send_to": settings.send_to,
        "consent": paragraphs(test.consent),
        "trials": len(test.headphones),
    }
    uri = storage.join(output, PAGE_FILE)
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    storage.write_bytes(uri, pages.render(_HERE / "page.html", values, title=settings.title, script=script))
    return uri


def _data(test: Test, settings: MakingSettings) -> dict[str, object]:
    rated = [item for item in test.items if not item.practice]
    return {
        "test": test.name,
        "questions": [{"name": name, "text": QUESTIONS[name]} for name in asked(settings)],
        "labels": LABELS,
        "headphones": list(test.headphones),
        "films": test.films,
        "practice": [_item(item, test.films) for item in test.items if item.practice],
        "items": [_item(item, test.films) for item in rated],
        "forms": [[_shown(shown, rated[shown.item], test.systems) for shown in form] for form in test.forms],
    }


def _item(item: Item, films: bool) -> dict[str, object]:
    stimuli = [{"id": found.id, "file": media_path(found.id, film=films)} for found in item.stimuli]
    return {"id": item.id, "stimuli": stimuli}


def _shown(shown: Shown, item: Item, systems: Sequence[str]) -> list[object]:
    """Item, its stimuli in order, and whether it is a repeat; stimuli are counted by their blind names."""
    places = [found.system for found in item.stimuli]
    return [shown.item, [places.index(systems[system]) for system in shown.systems], int(shown.repeat)]
