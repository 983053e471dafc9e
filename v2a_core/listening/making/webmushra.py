"""The same test for webMUSHRA: its YAML configuration beside sounds and silent films, to be copied into its folder.

webMUSHRA plays WAV files and has no page with video: the film of an item is shown above the sounds, without them. It
asks one question a page, so that an item has a page for each; its own shuffle decides on the order of sounds.
Source: audiolabs/webMUSHRA, doc/experimenter.md and lib/webmushra/pages/LikertMultiStimulusPage.js.
"""

from __future__ import annotations

import html
import re
import sys

import yaml

from v2a_core import storage
from v2a_core.listening.key import Item, Key
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.consent import SENT, consent_text, paragraphs
from v2a_core.listening.questions import LABELS, QUESTIONS, QuestionName
from v2a_core.protocols import JSON

# The field by which answers of one person are told from those of the next: webMUSHRA's table has no session.
LISTENER_FIELD = "listener"
_RESOURCES = "configs/resources/audio"


def sounds_folder(folder: str, test: str) -> str:
    """Where sounds and films go, below webMUSHRA's own folder."""
    return storage.join(folder, _RESOURCES, test)


def trial_id(item: Item, question: QuestionName) -> str:
    """What webMUSHRA's table calls a page."""
    return f"{item.id}.{question}"


def write_config(folder: str, key: Key, settings: MakingSettings, consent: str | None, *, films: bool) -> str:
    """Write the configuration.

    Args:
        folder: What is to be copied into webMUSHRA's folder.
        key: The test.
        settings: Its title.
        consent: What people agree to; None: a text that says what webMUSHRA does.
        films: Whether something is seen.

    Returns:
        The file.
    """
    practice = [[_page(key, item, name, films) for name in key.questions] for item in key.items if item.practice]
    rated = [[_page(key, item, name, films) for name in key.questions] for item in key.rated]
    config: dict[str, JSON] = {
        "testname": settings.title,
        "testId": key.test,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": False,
        "remoteService": "service/write.php",
        "pages": [
            {
                "type": "consent",
                "id": "consent",
                "name": "Consent",
                "mustConsent": True,
                "content": _html(consent or consent_text(SENT)),
            },
            *practice,
            ["random", *rated],
            _finish(),
        ],
    }
    uri = storage.join(folder, "configs", f"{key.test}.yaml")
    storage.write_bytes(uri, _yaml(config).encode())
    return uri


def _yaml(config: dict[str, JSON]) -> str:
    """YAML as webMUSHRA's reader takes it: a text on one line, and no list that begins on the line of another."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    while (apart := re.sub(r"^( *)- (- .*)$", r"\1-\n\1  \2", text, flags=re.MULTILINE)) != text:
        text = apart
    return text


def _page(key: Key, item: Item, question: QuestionName, films: bool) -> dict[str, JSON]:
    folder = f"{_RESOURCES}/{key.test}"
    film = f'<video src="{folder}/{item.id}.mp4" controls muted playsinline width="480"></video>' if films else ""
    return {
        "type": "likert_multi_stimulus",
        "id": trial_id(item, question),
        "name": "Practice" if item.practice else "Item",
        "content": f"{film}<br><b>{html.escape(QUESTIONS[question])}</b>",
        "mustRate": True,
        "mustPlayback": "ended",
        "stimuli": {stimulus.id: f"{folder}/{stimulus.id}.wav" for stimulus in item.stimuli},
        "response": [{"value": point, "label": label} for point, label in enumerate(LABELS, start=1)],
    }


def _finish() -> dict[str, JSON]:
    return {
        "type": "finish",
        "name": "Thank you",
        "content": "Please enter your name or code, and send your answers.",
        "showResults": False,
        "writeResults": True,
        "questionnaire": [{"type": "text", "label": "Name or code", "name": LISTENER_FIELD}],
    }


def _html(text: str) -> str:
    return "".join(f"<p>{html.escape(' '.join(part.split()))}</p>" for part in paragraphs(text))
