"""Listening tests of foreign programs' files, and listeners who answer as a page of ours saves it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from helpers_catalog import video

from v2a_core.listening.key import Key, read_key
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.make import Made, Wanted, make_test
from v2a_core.media.config import GuardSettings

RATE = 16_000
LENGTH_S = 1.1  # of what systems make of a video


def noise(seconds: float, level: float, seed: int) -> np.ndarray:
    return (level * np.random.default_rng(seed).normal(size=round(seconds * RATE))).clip(-1, 1).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, "FLOAT")


def write_systems(root: Path, keys: list[str], names: tuple[str, ...] = ("ours", "other", "third")) -> dict[str, str]:
    """Videos by id in `videos`, and a folder of sounds by id for each system, each of another level."""
    for number, key in enumerate(keys):
        video(root / "videos" / f"{key}.mp4", 1.25, hue=20 * number)
        for place, name in enumerate(names):
            write_sound(root / name / f"{key}.wav", noise(LENGTH_S, 0.02 * 3**place, number))
    return {name: str(root / name) for name in names}


def make(root: Path, systems: Mapping[str, str], *, webmushra: bool = False, **settings: Any) -> Made:
    """A test with the videos of `write_systems`."""
    wanted = Wanted(
        systems,
        str(root / "page"),
        str(root / "page.key.json"),
        videos=str(root / "videos") if (root / "videos").is_dir() else None,
        webmushra=str(root / "mushra") if webmushra else None,
    )
    return make_test(wanted, MakingSettings(**{"seed": 5, **settings}), GuardSettings())


def page_data(page: str | Path) -> dict[str, Any]:
    """What a page knows."""
    (found,) = re.findall(r'<main data-test="([^"]*)"', Path(page).read_text(encoding="utf-8"))
    return json.loads(html.unescape(found))


def answered(
    key: Key,
    data: Mapping[str, Any],
    liking: Mapping[str, float],
    number: int,
    *,
    name: str = "",
    spread: float = 0.6,
) -> dict[str, Any]:
    """A listener's file as the page saves it.

    Args:
        key: Tells which sound is whose.
        data: Of the page.
        liking: Mean rating of each system.
        number: Of the listener: another one answers otherwise, and gets another form.
        name: Of the listener.
        spread: Deviation of ratings.
    """
    random = np.random.default_rng([11, number])
    system = {stimulus.id: stimulus.system for item in key.items for stimulus in item.stimuli}
    length = {item.id: item.length_s for item in key.items}
    form = number % len(data["forms"]) + 1
    practice = [(item, range(len(item["stimuli"])), True, 0) for item in data["practice"]]
    shown = [(data["items"][place], order, False, again) for place, order, again in data["forms"][form - 1]]
    answers, said = [], {}
    for item, order, practised, again in [*practice, *shown]:
        for position, place in enumerate(order, start=1):
            stimulus = item["stimuli"][place]["id"]
            for question in key.questions:
                mean = liking[system[stimulus]] + random.normal(0, spread)
                said.setdefault((stimulus, question), int(np.clip(round(mean), 1, 5)))
            answers.append(
                {
                    "item": item["id"],
                    "stimulus": stimulus,
                    "position": position,
                    "practice": practised,
                    "repeat": bool(again),
                    "ratings": {question: said[stimulus, question] for question in key.questions},
                    "plays": 1,
                    "played_s": length[item["id"]],
                    "failed": False,
                    "screen_s": 12.5,
                }
            )
    return {
        "format": "v2a-listening-result",
        "version": 1,
        "test": key.test,
        "session": f"{number:032x}",
        "form": form,
        "listener": name,
        "consent": True,
        "device": "headphones",
        "headphones": list(key.headphones),
        "complete": True,
        "started": f"2024-05-01T10:{number % 60:02d}:00.000Z",
        "finished": f"2024-05-01T11:{number % 60:02d}:00.000Z",
        "answers": answers,
    }


def save(folder: Path, number: int, result: Mapping[str, Any]) -> Path:
    """A listener's file, under the name that the page gives it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"listening-{result['test']}-{number:08x}.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    return path


def key_of(made: Made, root: Path) -> Key:
    """The key as it was written."""
    key = read_key(str(root / "page.key.json"))
    assert key == made.key
    return key
