"""Which items a test can have: those that every system has a sound for, whole and not silent, and that can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.pictures import Picture, list_pictures
from v2a_core.metrics.systems.files import Files, inspect
from v2a_core.metrics.systems.places import LookedAt, by_id, list_place, look_at

_PICTURES = ""  # what no system can be called


@dataclass(frozen=True)
class Candidate:
    """An item that can be presented, as far as files tell.

    Attributes:
        key: The id of its files.
        sounds: Of each system.
        picture: What is seen; None where only sounds are asked about.
    """

    key: str
    sounds: Mapping[str, LookedAt]
    picture: Picture | None

    @property
    def shortest_s(self) -> float:
        """Length of its shortest sound, seconds."""
        return min(sound.length_s for sound in self.sounds.values())

    def told(self, name: str) -> str | None:
        """Its label or caption, of whoever has it."""
        places = [sound.place for sound in self.sounds.values()]
        if self.picture is not None:
            places.insert(0, self.picture.place)
        return next((value for place in places if (value := getattr(place, name))), None)


@dataclass(frozen=True)
class Material:
    """What was found.

    Attributes:
        candidates: In the order of their ids.
        files: What is wrong with each system's files.
        left_out: Why an item cannot be presented, by id.
    """

    candidates: tuple[Candidate, ...]
    files: Mapping[str, Files]
    left_out: Mapping[str, str]


def find_material(systems: Mapping[str, str], videos: str | None, settings: MakingSettings) -> Material:
    """Look at all files.

    Args:
        systems: Places of the systems by their names: outputs of `v2a generate`, folders of sounds by id, indexes.
        videos: Where the videos are; see `pictures.list_pictures`.
        settings: What the test asks for.

    Raises:
        ConfigError: When a place holds nothing, or relevance is asked about and nothing can be seen.
    """
    # Asked about fidelity alone, people look at nothing, unless somebody gives them something to look at.
    with_pictures = videos is not None or settings.questions != "fidelity"
    pictures = {picture.place: picture for picture in list_pictures(videos, systems)} if with_pictures else {}
    if with_pictures and not pictures:
        raise ConfigError(
            "relevance is how well a sound fits what is seen, and there is no video: give --videos, a system that "
            "`v2a generate` made, or ask about fidelity alone (--set making.questions=fidelity)"
        )
    listed = {name: list_place(storage.canonical(place)) for name, place in systems.items()}
    if pictures:
        listed[_PICTURES] = list(pictures)
    placed = by_id(listed)
    seen = {key: pictures[place] for key, place in placed.pop(_PICTURES, {}).items()}
    found = {name: dict(zip(places, look_at(list(places.values())), strict=True)) for name, places in placed.items()}
    keys = {key for of_system in found.values() for key in of_system}
    left_out = {key: reason for key in sorted(keys) if (reason := _problem(key, found, settings))}
    if with_pictures:
        left_out |= dict.fromkeys(sorted(keys - seen.keys() - left_out.keys()), "there is no video")
    candidates = [
        Candidate(key, {name: of_system[key] for name, of_system in found.items()}, seen.get(key))
        for key in sorted(keys - left_out.keys())
    ]
    files = {name: inspect(of_system, None, keys, settings.length_s) for name, of_system in found.items()}
    return Material(tuple(candidates), files, left_out)


def _problem(key: str, found: Mapping[str, Mapping[str, LookedAt]], settings: MakingSettings) -> str:
    """Why an item cannot be presented; nothing when it can."""
    for name, of_system in found.items():
        sound = of_system.get(key)
        if sound is None:
            return f"{name} has no sound"
        if sound.error:
            return f"{name} cannot be read: {sound.error}"
        if sound.silent:
            return f"{name} is silent"
        if sound.length_s < settings.min_length_s:
            return f"{name} is {sound.length_s:.2f} s long, the shortest may be {settings.min_length_s:g} s"
    return ""
