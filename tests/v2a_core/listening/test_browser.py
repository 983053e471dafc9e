"""The page of a listening test in a real browser: played, rated, loaded again, saved; by mouse, keyboard and ear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_browser import Browser, needs_chromium
from helpers_listeners import begin, rate, saved, to_the_end
from helpers_listening import answered, make, page_data, write_systems

LIKING = {"ours": 4, "other": 2, "third": 3}

pytestmark = [needs_chromium, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of two items and one for practice, its key, and what it knows."""
    root = tmp_path_factory.mktemp("page")
    systems = write_systems(root, ["one", "two", "three"])
    found = make(root, systems, items=2, forms=6, headphone_trials=2)
    return Path(found.page), found.key, page_data(found.page)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


def test_a_person_listens_rates_reloads_and_saves(made, browser, tmp_path):
    page_file, key, _ = made
    with browser.page(f"{page_file.as_uri()}#form=2", downloads=tmp_path) as page:
        page.click("#next")
        assert page.js("document.querySelector('#message').textContent") == "Please say that you want to take part."
        begin(page, "Ada <b>", key)
        assert page.js("document.querySelector('h2:focus').textContent") == "Practice"
        page.click("#next")
        assert page.js("document.querySelector('#message').textContent") == "Please listen to the end of A, B, C."
        page.click(".take:nth-child(1) .play")
        page.wait("!document.querySelector('.take:nth-child(1) video').paused")
        page.click(".take:nth-child(2) .play")  # one at a time
        page.wait("!document.querySelector('.take:nth-child(2) video').paused")
        assert page.js("document.querySelector('.take:nth-child(1) video').paused")
        page.press("Escape")
        assert page.js("[...document.querySelectorAll('video')].every((player) => player.paused)")
        rate([page], key, LIKING)
        before = page.js("JSON.stringify(state.takes)")
        page.reload()
        assert page.js("document.querySelector('#item h2').textContent") == "Practice"
        assert page.js("document.querySelectorAll('#takes input:checked').length") == 6
        assert page.js("JSON.stringify(state.takes)") == before
        to_the_end([page], key, LIKING)
        assert page.js("document.querySelector('#end h2').textContent") == "Thank you"
        result = saved(page, tmp_path)
        assert page.js("document.querySelector('#text').value") == json.dumps(
            result, separators=(",", ":"), ensure_ascii=False
        )
        assert page.trouble() == []
        folder = page_file.parent.as_uri()
        assert all(url.startswith((folder, "blob:")) for url in page.requests())
    assert (result["listener"], result["form"], result["complete"]) == ("Ada <b>", 2, True)
    assert result["headphones"] == key.headphones
    _same_shape(result, made)


def _same_shape(result: dict, made) -> None:
    """What a browser saves is what tests of the scoring take for it."""
    _, key, data = made
    like = answered(key, data, LIKING, 1, name="Ada <b>", spread=0.0)
    assert result.keys() == like.keys()
    assert [answer.keys() for answer in result["answers"]] == [answer.keys() for answer in like["answers"]]
    told = ("item", "stimulus", "position", "practice", "repeat", "ratings", "failed")
    assert [[answer[name] for name in told] for answer in result["answers"]] == [
        [answer[name] for name in told] for answer in like["answers"]
    ]
    for answer, expected in zip(result["answers"], like["answers"], strict=True):
        assert answer["plays"] >= 1
        assert answer["played_s"] >= 0.9 * expected["played_s"]
        assert answer["screen_s"] > 0


def test_with_the_keyboard_alone_on_a_phone_and_with_a_screen_reader(made, browser):
    page_file, key, _ = made
    with browser.page(f"{page_file.as_uri()}#form=1", width=360, height=740, mobile=True) as page:
        for pressed in ("Tab", "Tab", " ", "Tab", "Enter"):
            page.press(pressed)
        assert page.js("document.querySelector('h2:focus').textContent") == "Headphones"
        names = page.names()
        assert ("radio", "headphones") in names
        assert ("button", "Play trial 1") in names
        page.press("Tab")
        page.press(" ")  # headphones
        for answer in key.headphones:
            page.press("Tab")
            page.press("Tab")
            for step in range(answer):
                page.press("ArrowRight" if step else " ")
        for pressed in ("Tab", "Tab", "Enter"):
            page.press(pressed)
        assert page.js("state.headphones") == key.headphones
        assert page.js("document.querySelector('h2:focus').textContent") == "Practice"
        names = page.names()
        roles = [name for role, name in names if role == "group"]
        assert "Sound A, Fidelity: how good does the sound itself sound, whatever is seen?" in roles
        assert "Sound C, Relevance: how well does the sound fit what is seen?" in roles
        assert ("radio", "3 Fair") in names
        unnamed = [
            role for role, name in names if role in ("button", "radio", "checkbox", "textbox", "group") and not name
        ]
        assert unnamed == []
        page.press("Tab")
        page.press("Enter")
        page.wait("!document.querySelector('video').paused")
        page.press("Tab")
        page.press(" ")
        page.press("ArrowRight")
        page.press("ArrowRight")
        assert page.js("document.querySelector('#takes input:checked').value") == "3"
        assert page.js("document.documentElement.scrollWidth") <= 360
        small = page.js(
            "[...document.querySelectorAll('button, .points label, .choice')].filter((e) => e.offsetParent)"
            ".filter((e) => e.getBoundingClientRect().height < 44).length"
        )
        assert small == 0
        assert page.trouble() == []


@pytest.mark.slow
def test_who_stops_saves_what_there_is_and_the_next_person_begins_anew(made, browser, tmp_path):
    page_file, key, data = made
    with browser.page(page_file.as_uri(), downloads=tmp_path) as page:
        begin(page, "first", key)
        rate([page], key, LIKING)
        page.click("#stop")
        assert page.js("document.querySelector('#told').textContent").startswith("You rated 0 of 3 items.")
        result = saved(page, tmp_path)
        assert result["complete"] is False
        assert {answer["practice"] for answer in result["answers"]} == {True}
        page.click("#back")
        assert page.js("document.querySelector('#item h2').textContent") == "Practice"
        page.click("#stop")
        page.click("#end details:nth-of-type(2) summary")
        page.click("#anew")
        assert page.js("document.querySelector('#welcome').hidden") is False
        assert page.js("[state.listener, Object.keys(state.takes).length, state.agreed]") == ["", 0, False]
        assert page.js("state.session") != result["session"]
        assert page.js("state.form") == result["form"] % len(data["forms"]) + 1


def test_a_sound_that_cannot_be_played_stops_nobody(browser, tmp_path):
    output = tmp_path / "page"
    key = make(tmp_path, write_systems(tmp_path, ["one"]), practice=0, headphone_trials=2).key
    gone = key.items[0].stimuli[0].id
    (output / "media" / f"{gone}.mp4").unlink()
    with browser.page((output / "index.html").as_uri(), downloads=tmp_path) as page:
        begin(page, "", key)
        page.wait("document.querySelector('.broken') !== null")
        all_rated = "take.plays = 1, take.ratings = {fidelity: 3, relevance: 3}"
        page.js(f"for (const take of Object.values(state.takes)) {all_rated}; state.takes['{gone}'].ratings = {{}}")
        page.click("#next")
        assert page.js("document.querySelector('#end').hidden") is False
        result = saved(page, tmp_path)
    failed = {answer["stimulus"]: answer["failed"] for answer in result["answers"]}
    assert failed == {stimulus.id: stimulus.id == gone for stimulus in key.items[0].stimuli}
