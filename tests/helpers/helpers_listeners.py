"""People in browsers: what they click, hear and save in the page of a listening test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from helpers_browser import Page

from v2a_core.listening.key import Key


def begin(page: Page, name: str, key: Key, *, trials: list[int] | None = None) -> None:
    """Consent and headphones."""
    page.click("#listener")
    page.type(name)
    page.click("#agree")
    page.click("#next")
    page.click("input[value=headphones]")
    for trial, answer in enumerate(trials or key.headphones):
        page.click(f"#trials li:nth-child({trial + 1}) label:nth-child({answer})")
    page.click("#next")


def stimuli(page: Page) -> list[str]:
    """Blind names of what stands side by side."""
    files = page.js("[...document.querySelectorAll('#takes video')].map((player) => player.getAttribute('src'))")
    return [Path(file).stem for file in files]


def rate(pages: list[Page], key: Key, liking: Mapping[str, int]) -> None:
    """Hear everything on the screens of some people to its end, one after the other, and rate it.

    Args:
        pages: Of the people.
        key: Tells which sound is whose.
        liking: Rating of each system.
    """
    system = {stimulus.id: stimulus.system for item in key.items for stimulus in item.stimuli}
    for place in range(1, 1 + len(key.systems)):
        for page in pages:
            page.click(f"#takes .take:nth-child({place}) .play")
        for page in pages:
            page.wait(f"document.querySelector('.take:nth-child({place}) .heard').textContent === 'heard'")
    for page in pages:
        for place, name in enumerate(stimuli(page), start=1):
            for question in (1, 2):
                fieldset = f".take:nth-child({place}) fieldset:nth-of-type({question})"
                page.click(f"{fieldset} label:nth-child({liking[system[name]]}) input")


def to_the_end(pages: list[Page], key: Key, liking: Mapping[str, int]) -> None:
    """All items that are left, and the repeat; not for people at different places."""
    while pages[0].js("screens[state.screen].kind === 'item'"):
        rate(pages, key, liking)
        for page in pages:
            page.click("#next")


def saved(page: Page, folder: Path) -> dict:
    """The file that the page saves."""
    before = set(folder.glob("*.json"))
    page.click("#save")
    page.wait("document.querySelector('#message').textContent.startsWith('Saved as listening-')")
    for _ in range(200):
        new = [path for path in set(folder.glob("*.json")) - before if path.stat().st_size]
        if new:
            return json.loads(new[0].read_text(encoding="utf-8"))
        page.js("new Promise((done) => setTimeout(done, 50))")
    raise AssertionError("nothing was saved")
