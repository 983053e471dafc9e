"""The key of a listening test: which system each blind name stands for. It never lies in the page's folder."""

from __future__ import annotations

from typing import Final, Literal, Self

import pydantic

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.questions import QuestionName

FORMAT: Final = "v2a-listening-key"


class Stimulus(pydantic.BaseModel):
    """A sound as listeners get it.

    Attributes:
        id: Its blind name, which is also that of its file.
        system: Who made it.
        uri: The file that it was made from.
        sha256: Of that file.
        loudness_lufs: How loud it is in the test, the same for all of an item as far as peaks allow it.
    """

    id: str
    system: str
    uri: str
    sha256: str
    loudness_lufs: float


class Item(pydantic.BaseModel):
    """A video with a sound of each system.

    Attributes:
        id: Its blind name.
        key: The id that its files have.
        practice: Whether its ratings do not count.
        length_s: Of picture and sounds, seconds.
        label, caption: Of an index or catalog.
        stimuli: In the order of their blind names.
    """

    id: str
    key: str
    practice: bool
    length_s: float
    label: str | None = None
    caption: str | None = None
    stimuli: list[Stimulus]


class Key(pydantic.BaseModel):
    """The key.

    Attributes:
        format: What this file is.
        version: Of the format.
        test: Name of the test, which its page and all answers carry.
        seed: All of it was drawn from this.
        systems: In the order given; the first one is ours.
        places: Where their sounds lay.
        questions: What was asked.
        forms: How many orders of items and systems the page has.
        headphones: Which of the three tones is the quietest, from 1, for each trial of the headphone check.
        items: Practice first.
        program: Which version made it.
    """

    format: Literal["v2a-listening-key"] = FORMAT
    version: Literal[1] = 1
    test: str
    seed: int
    systems: list[str]
    places: dict[str, str]
    questions: list[QuestionName]
    forms: int
    headphones: list[int]
    items: list[Item]
    program: dict[str, str]

    @pydantic.model_validator(mode="after")
    def _every_sound_is_of_a_system(self) -> Self:
        names = [stimulus.id for item in self.items for stimulus in item.stimuli]
        unknown = {stimulus.system for item in self.items for stimulus in item.stimuli} - set(self.systems)
        if unknown or len(set(names)) < len(names) or not self.systems:
            raise ValueError(f"a blind name stands for two sounds, or for one of no system ({sorted(unknown)})")
        return self

    @property
    def rated(self) -> list[Item]:
        """The items that count."""
        return [item for item in self.items if not item.practice]


def read_key(uri: str) -> Key:
    """A key from its file.

    Raises:
        ConfigError: When it is none.
    """
    try:
        return Key.model_validate_json(storage.read_bytes(uri))
    except FileNotFoundError:
        raise ConfigError(f"--key {uri}: there is no such file; `v2a listening make` says where it wrote it") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"--key {uri} is no key of a listening test: {place}: {first['msg']}") from None


def write_key(uri: str, key: Key) -> None:
    """Write it, for those alone who score the test."""
    storage.write_bytes(uri, (key.model_dump_json(indent=2) + "\n").encode())
