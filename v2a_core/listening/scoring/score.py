"""The whole scoring of a listening test: read, check, measure, write."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.key import read_key
from v2a_core.listening.scoring.checks import check
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.measure import measure, ratings_of
from v2a_core.listening.scoring.plots import DIFFERENCES_FILE, OPINIONS_FILE, draw_differences, draw_opinions
from v2a_core.listening.scoring.reading import read_results
from v2a_core.listening.scoring.scored import Scored
from v2a_core.listening.scoring.tables import to_markdown

JSON_FILE, TABLE_FILE, RATINGS_FILE = "listening.json", "listening.md", "ratings.csv"


def score_test(results: Sequence[str], key_uri: str, settings: ScoringSettings) -> Scored:
    """Score a test.

    Args:
        results: Files and folders of results.
        key_uri: The key that `making` put aside.
        settings: What counts.

    Raises:
        ConfigError: When the key is none, there is no file, or nobody's answers count.
    """
    key = read_key(key_uri)
    if settings.ours is not None and settings.ours not in key.systems:
        raise ConfigError(f"scoring.ours = {settings.ours!r}: the test has the systems {', '.join(key.systems)}")
    read = read_results(results, key)
    listeners = [check(session, key, settings) for session in read.sessions]
    counted = [checked for checked in listeners if settings.keep_failed or not checked.reasons]
    sessions = [checked.session for checked in counted]
    ours = key.systems.index(settings.ours or key.systems[0])
    answered = [measure(ratings_of(sessions, key, name), name, ours, settings) for name in key.questions]
    return Scored(key, settings, read, listeners, counted, answered)


def write_scored(scored: Scored, output: str) -> str:
    """Write tables, numbers, plots and the ratings with the systems' names.

    Args:
        scored: A test.
        output: Folder or URI.

    Returns:
        The tables, as markdown.
    """
    text = to_markdown(scored)
    storage.write_json(storage.join(output, JSON_FILE), scored.to_dict())
    storage.write_bytes(storage.join(output, TABLE_FILE), text.encode())
    storage.write_bytes(storage.join(output, RATINGS_FILE), _ratings(scored).encode())
    for name, picture in ((OPINIONS_FILE, draw_opinions(scored)), (DIFFERENCES_FILE, draw_differences(scored))):
        if picture is not None:
            storage.write_bytes(storage.join(output, name), picture)
    return text


def _ratings(scored: Scored) -> str:
    """Every rating of every listener, a row each: for statistics of one's own."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["listener", "counts", "item", "system", "question", "rating", "position", "repeat"])
    known = {stimulus.id: (item.key, stimulus.system) for item in scored.key.rated for stimulus in item.stimuli}
    for checked in scored.listeners:
        for take in checked.session.takes:
            for question, rating in take.ratings.items():
                place = "" if take.position is None else take.position
                counts, repeat = int(checked in scored.counted), int(take.repeat)
                row = [_plain(checked.session.name), counts, *known[take.stimulus], question, rating, place, repeat]
                writer.writerow(row)
    return file.getvalue()


def _plain(text: str) -> str:
    """A name from a stranger: no spreadsheet takes it for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text
