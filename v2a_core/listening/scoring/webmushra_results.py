"""Answers as webMUSHRA's service keeps them: one table, `lms.csv`, to which every listener's rows are appended.

The table has no session: a new listener begins where the fields that people fill in change, or where a sound is rated
that this listener has rated. Source: audiolabs/webMUSHRA, service/write.php.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from v2a_core.listening.key import Key
from v2a_core.listening.making.webmushra import LISTENER_FIELD
from v2a_core.listening.scoring.page_results import ResultError, known_takes
from v2a_core.listening.scoring.sessions import Session, Take

_TEST, _TRIAL, _RATING, _STIMULUS = "session_test_id", "trial_id", "stimuli_rating", "stimuli"
_OWN = (_TEST, _TRIAL, _RATING, _STIMULUS, "rating_time")
_NO_ANSWER = ("NA", "")


def is_table(content: bytes) -> bool:
    """Whether a file begins as webMUSHRA's table does."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf").split(b"\n")[0]
    return all(name.encode() in head for name in (_TEST, _TRIAL, _RATING))


def read_table(file: str, content: bytes, key: Key) -> list[Session]:
    """The listeners of a table.

    Args:
        file: Its name, for messages.
        content: Its bytes.
        key: Of the test.

    Raises:
        ResultError: When it cannot be read, or holds no row of this test.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ResultError(f"it is broken: {error}") from None
    mine = [row for row in rows if (row.get(_TEST) or "").strip() == key.test]
    if not mine:
        raise ResultError(f"none of its {len(rows)} rows is of the test {key.test!r}")
    others = len(rows) - len(mine)
    told = (f"rows of another test, or broken: {others}",) if others else ()
    sessions = [_session(file, number, found, key) for number, found in enumerate(_listeners(mine), start=1)]
    return [Session(**{**vars(sessions[0]), "problems": (*told, *sessions[0].problems)}), *sessions[1:]]


def _listeners(rows: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """Rows of one listener after the other."""
    held: list[dict[str, str]] = []
    rated: set[tuple[str, str]] = set()
    for row in rows:
        about = (row.get(_TRIAL) or "", row.get(_STIMULUS) or "")
        if held and (_filled_in(row) != _filled_in(held[0]) or about in rated):
            yield held
            held, rated = [], set()
        held.append(row)
        rated.add(about)
    yield held


def _filled_in(row: Mapping[str, str]) -> list[str]:
    return [str(value) for name, value in row.items() if name not in _OWN]


def _session(file: str, number: int, rows: list[dict[str, str]], key: Key) -> Session:
    """One listener: a sound has a row for each question."""
    ratings: dict[str, dict[str, int]] = {}
    unreadable = 0
    for row in rows:
        answer = (row.get(_RATING) or "").strip()
        question = (row.get(_TRIAL) or "").rpartition(".")[2]
        if answer in _NO_ANSWER:
            continue
        if not answer.isdecimal():
            unreadable += 1
            continue
        ratings.setdefault((row.get(_STIMULUS) or "").strip(), {})[question] = int(answer)
    takes, problems = known_takes([(name, Take(name, found)) for name, found in ratings.items()], key)
    told = (f"ratings that are no numbers: {unreadable}",) if unreadable else ()
    listener = " ".join((rows[0].get(LISTENER_FIELD) or "").split())
    return Session(file=file, session=f"{number}", listener=listener, takes=takes, problems=(*told, *problems))
