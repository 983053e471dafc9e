"""The whole making of a listening test: look, draw, write, and put the key aside."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.key import Key, write_key
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.consent import KEPT, consent_text
from v2a_core.listening.making.forms import make_forms
from v2a_core.listening.making.headphones import RATE, draw_trials, headphone_sound, wav_bytes
from v2a_core.listening.making.items import MEDIA, ItemWriter, Places, blind_name, shuffled, write_items
from v2a_core.listening.making.material import Material, find_material
from v2a_core.listening.making.page import Test, asked, write_page
from v2a_core.listening.making.webmushra import sounds_folder, write_config
from v2a_core.media.config import GuardSettings
from v2a_core.media.guard import GuardedDecoder
from v2a_core.version import program


@dataclass(frozen=True)
class Wanted:
    """A test that is to be made.

    Attributes:
        systems: Places by names; the first one is ours.
        output: Folder of the page, which may not hold anything yet.
        key: File of the key, outside of that folder.
        videos: Where the videos are; None: the sources of the first system that `v2a generate` made.
        consent: Text that people agree to; None: one that says what the page does.
        webmushra: Folder for the same test as webMUSHRA has it.
    """

    systems: Mapping[str, str]
    output: str
    key: str
    videos: str | None = None
    consent: str | None = None
    webmushra: str | None = None


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes:
        page: The page.
        key: What the key says.
        material: What was found in the files.
        left_out: Why items could not be presented, by id.
    """

    page: str
    key: Key
    material: Material
    left_out: Mapping[str, str]


def make_test(wanted: Wanted, settings: MakingSettings, decoder: GuardSettings) -> Made:
    """Make a test.

    Args:
        wanted: Of what, and where to.
        settings: What it consists of.
        decoder: Limits of the process that reads videos.

    Raises:
        ConfigError: When no item can be presented, or a place is taken.
    """
    _check(wanted)
    material = find_material(wanted.systems, wanted.videos, settings)
    seed = secrets.randbits(53) if settings.seed is None else settings.seed
    random = np.random.default_rng([seed, _content(material)])
    name = blind_name("t", 6, random)
    places = Places(wanted.output, sounds_folder(wanted.webmushra, name) if wanted.webmushra else None)
    with GuardedDecoder(decoder) as guarded:
        writer = ItemWriter(places, settings, guarded, random)
        items, failed = write_items(shuffled(material.candidates, random), writer, settings.practice, settings.items)
    left_out = {**material.left_out, **failed}
    if not items:
        raise ConfigError(f"no item can be presented: {_first(left_out)}")
    trials = draw_trials(settings.headphone_trials, random)
    key = Key(
        test=name,
        seed=seed,
        systems=list(wanted.systems),
        places=dict(wanted.systems),
        questions=asked(settings),
        forms=0,
        headphones=[quietest for quietest, _ in trials],
        items=items,
        program=program(),
    )
    return _write(wanted, settings, key, trials, random, Made("", key, material, left_out))


def _write(
    wanted: Wanted,
    settings: MakingSettings,
    key: Key,
    trials: list[tuple[int, int]],
    random: np.random.Generator,
    made: Made,
) -> Made:
    """Write what is not of one item: the headphone check, the key, then the page."""
    forms = make_forms(len(key.rated), len(key.systems), settings.forms, settings.repeats, random)
    key = key.model_copy(update={"forms": len(forms)})
    headphones = []
    for number, trial in enumerate(trials, start=1):
        headphones.append(f"{MEDIA}/tones-{number}.wav")
        sound = wav_bytes(headphone_sound(*trial), RATE)
        storage.write_bytes(storage.join(wanted.output, headphones[-1]), sound)
    films = made.material.candidates[0].picture is not None
    write_key(wanted.key, key)
    if wanted.webmushra:
        write_config(wanted.webmushra, key, settings, wanted.consent, films=films)
    test = Test(key.test, key.items, key.systems, forms, headphones, films, wanted.consent or consent_text(KEPT))
    return Made(write_page(wanted.output, test, settings), key, made.material, made.left_out)


def _check(wanted: Wanted) -> None:
    """Refuse what cannot become a blind test, before any file is read."""
    for name in wanted.systems:
        if not re.fullmatch(r"[\w][\w.+-]*", name):
            raise ConfigError(f"--system {name!r}: a name has letters, digits, dots, + and -")
    folders = [place for place in (wanted.output, wanted.webmushra) if place]
    for folder in folders:
        if f"{storage.canonical(wanted.key)}/".startswith(f"{storage.canonical(folder)}/"):
            raise ConfigError(f"--key {wanted.key} lies in {folder}, which listeners get: choose a place outside of it")
        if _holds_something(folder):
            raise ConfigError(f"{folder} holds something: a test gets a folder of its own, so that nothing is mixed up")
    if storage.exists(wanted.key):
        raise ConfigError(f"--key {wanted.key} is there already: it may be the only way to read another test's answers")


def _holds_something(folder: str) -> bool:
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    return storage.attempt(folder, lambda: bool(fs.exists(path) and fs.find(path)))


def _content(material: Material) -> int:
    """A number of the sounds: two tests of one seed but other sounds have other blind names."""
    hashes = sorted(sound.sha256 for candidate in material.candidates for sound in candidate.sounds.values())
    return int.from_bytes(hashlib.sha256("".join(hashes).encode()).digest()[:8], "big")


def _first(left_out: Mapping[str, str]) -> str:
    shown = [f"{key}: {reason}" for key, reason in list(left_out.items())[:3]]
    more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return "; ".join(shown) + more
