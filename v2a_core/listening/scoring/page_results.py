"""Answers as our own page saves them, a JSON file a listener."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pydantic

from v2a_core.listening.key import Key
from v2a_core.listening.questions import POINTS
from v2a_core.listening.scoring.sessions import Session, Take

_WORDS = 80  # of a name


class _Answer(pydantic.BaseModel):
    """A sound as the page met it."""

    model_config = pydantic.ConfigDict(strict=True)

    stimulus: str
    position: int
    practice: bool
    repeat: bool
    ratings: dict[str, int]
    plays: int
    played_s: pydantic.FiniteFloat
    failed: bool = False


class _Result(pydantic.BaseModel):
    """The file."""

    model_config = pydantic.ConfigDict(strict=True)

    format: Literal["v2a-listening-result"]
    version: Literal[1]
    test: str
    session: str = pydantic.Field(min_length=1)
    form: int
    listener: str
    device: str
    headphones: list[int | None]
    started: str
    finished: str
    answers: list[_Answer]


class ResultError(ValueError):
    """A file that is no result of this test; the message says why."""


def read_page_result(file: str, content: bytes, key: Key) -> Session:
    """The answers of a file.

    Args:
        file: Its name, for messages.
        content: Its bytes.
        key: Of the test.

    Raises:
        ResultError: When it is broken, or of another test.
    """
    try:
        found = _Result.model_validate_json(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ResultError(f"it is broken: {f'{place}: ' if place else ''}{first['msg']}") from None
    if found.test != key.test:
        raise ResultError(f"it is of another test, {found.test[:_WORDS]!r}, not of {key.test!r}")
    takes, problems = known_takes([(answer.stimulus, _take(answer)) for answer in found.answers], key)
    return Session(
        file=file,
        session=found.session,
        listener=" ".join(found.listener.split())[:_WORDS],
        takes=takes,
        form=found.form,
        started=found.started[:_WORDS],
        finished=found.finished[:_WORDS],
        device=found.device[:_WORDS],
        headphones=tuple(found.headphones) if key.headphones else None,
        problems=problems,
    )


def known_takes(answers: list[tuple[str, Take]], key: Key) -> tuple[tuple[Take, ...], tuple[str, ...]]:
    """What counts of answers: of sounds of the test that are not for practice, on its points, each once.

    Args:
        answers: Names of sounds and what was said about them.
        key: Of the test.

    Returns:
        The takes, and what had to be left out, as sentences.
    """
    practice = {stimulus.id: item.practice for item in key.items for stimulus in item.stimuli}
    takes: dict[tuple[str, bool], Take] = {}
    unknown = wrong = doubled = 0
    for name, take in answers:
        if name not in practice:
            unknown += 1
        elif practice[name]:
            continue
        elif (name, take.repeat) in takes:
            doubled += 1
        else:
            ratings = _on_scale(take.ratings, key)
            wrong += len(take.ratings) - len(ratings)
            takes[name, take.repeat] = Take(**{**vars(take), "ratings": ratings})
    told = {
        f"answers about no sound of this test: {unknown}": unknown,
        f"ratings that are not on 1 to {POINTS}, or answer what was not asked: {wrong}": wrong,
        f"answers about a sound that was rated before: {doubled}": doubled,
    }
    return tuple(takes.values()), tuple(text for text, count in told.items() if count)


def _on_scale(ratings: Mapping[str, int], key: Key) -> dict[str, int]:
    return {name: ratings[name] for name in key.questions if name in ratings and 1 <= ratings[name] <= POINTS}


def _take(answer: _Answer) -> Take:
    return Take(
        stimulus=answer.stimulus,
        ratings=answer.ratings,
        repeat=answer.repeat,
        position=answer.position,
        plays=answer.plays,
        played_s=answer.played_s,
        failed=answer.failed,
    )
