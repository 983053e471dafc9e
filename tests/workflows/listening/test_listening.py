"""A listening test from end to end: soundtracks of the generate job, real browsers in which people rate, scores."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import helpers_catalog
import numpy as np
import pytest
from helpers_browser import Browser, needs_chromium
from helpers_evaluate import make_soundtracks, write_table
from helpers_listeners import begin, saved, to_the_end
from helpers_listening import noise, write_sound

from v2a_core.listening.key import read_key
from v2a_core.media.write import read_audio
from workflows.cli.main import main

IDS = ("rain/one", "bell/one", "bell/mute & odd%20[name]", "still", "shard-000/key0", "shard-000/key1")
LIKING = {"ours": 4, "im2wav": 2, "quiet-one": 3}
QUICK = ("--set", "making.min_length_s=0.4", "--set", "making.headphone_trials=2", "--set", "making.forms=6")


@pytest.fixture(scope="module")
def systems(ray_session, tmp_path_factory) -> list[str]:
    """Our own soundtracks and two folders of another program, as `--system` takes them."""
    root = tmp_path_factory.mktemp("systems")
    catalog = helpers_catalog.catalog(root / "catalog")
    ours = make_soundtracks(
        root, [write_table(catalog), str(catalog / "shard-000.tar"), str(catalog / "still.png")]
    ).soundtracks
    for number, key in enumerate(IDS):
        seconds = len(read_audio(next((ours / "audio" / key).parent.glob(f"{_start(key)}*.wav")))[0]) / 16_000
        write_sound(root / "theirs" / f"{key}.wav", noise(seconds, 0.2, number))
        write_sound(root / "third" / f"{key}.wav", noise(seconds, 0.01, 50 + number))
    write_sound(root / "third" / "shard-000" / "key1.wav", np.zeros(16_000))
    places = {"ours": ours, "im2wav": root / "theirs", "quiet-one": root / "third"}
    return [argument for name, place in places.items() for argument in ("--system", f"{name}={place}")]


def _start(key: str) -> str:
    """How the file of a soundtrack begins: what means something in a shell or URL is not in it."""
    return Path(key).name.split(" ")[0]


@pytest.fixture(scope="module")
def made(systems, tmp_path_factory):
    """A page of two items, and its key."""
    folder = tmp_path_factory.mktemp("made")
    output = folder / "page"
    arguments = ["listening", "make", *systems, "--output", str(output), "--set", "making.seed=1"]
    assert main([*arguments, "--set", "making.items=2", *QUICK]) == 0
    return output / "index.html", read_key(f"{output}.key.json")


@pytest.mark.slow
def test_items_are_of_all_systems_and_what_is_wrong_is_told(systems, tmp_path, capsys):
    arguments = ["listening", "make", *systems, "--output", str(tmp_path / "page"), *QUICK]
    assert main([*arguments, "--webmushra", str(tmp_path / "mushra")]) == 0
    told = capsys.readouterr().out
    assert "5 items (20 were wanted) and 0 for practice, 3 systems, 6 forms" in told
    assert "1 x silent, such as shard-000/key1: quiet-one is silent" in told
    assert f"the key, which listeners must not get -> {tmp_path / 'page.key.json'}" in told
    key = read_key(str(tmp_path / "page.key.json"))
    assert {item.key for item in key.items} == set(IDS) - {"shard-000/key1"}
    assert {item.key: item.label for item in key.items}["bell/one"] == "bell"
    assert [item.length_s for item in key.items if item.key == "bell/one"] == [pytest.approx(1.0, abs=0.01)]
    page = (tmp_path / "page" / "index.html").read_bytes()
    assert not [name for name in (b"im2wav", b"quiet-one", b"rain/one", b"soundtracks") if name in page]
    for path in (tmp_path / "page" / "media").glob("*.mp4"):
        content = path.read_bytes()
        assert b"AI-generated" not in content
        assert b"v2a" not in content


@pytest.mark.slow
@needs_chromium
@pytest.mark.timeout(280)
def test_answers_of_several_browsers_are_scored(made, tmp_path, capsys):
    page_file, key = made
    folder = tmp_path / "results"
    folder.mkdir()
    with contextlib.ExitStack() as people:
        browser = people.enter_context(Browser())
        address = page_file.as_uri()
        pages = [people.enter_context(browser.page(f"{address}#form={form}", downloads=folder)) for form in (1, 4, 5)]
        for number, page in enumerate(pages):
            wrong = [answer % 3 + 1 for answer in key.headphones]
            begin(page, f"person {number}", key, trials=wrong if number == 2 else None)
        to_the_end(pages, key, LIKING)
        results = [saved(page, folder) for page in pages]
    assert len({result["session"] for result in results}) == 3
    arguments = ["listening", "score", str(folder), "--key", f"{page_file.parent}.key.json"]
    assert main([*arguments, "--output", str(tmp_path / "scored"), "--set", "scoring.resamples=100"]) == 0
    assert "2 of 3 listeners count" in capsys.readouterr().out
    scored = json.loads((tmp_path / "scored" / "listening.json").read_text())
    for question in ("fidelity", "relevance"):
        opinions = scored["questions"][question]["opinions"]
        assert {name: score["mean"] for name, score in opinions.items()} == LIKING
        assert {score["ratings"] for score in opinions.values()} == {4}
    (failed,) = [listener for listener in scored["listeners"] if listener["failed"]]
    assert failed["listener"] == "person 2"
    assert failed["failed"] == ["0 of 2 headphone trials are right"]
    assert (tmp_path / "scored" / "figure-5.png").stat().st_size > 5000


def test_wrong_use_is_said_before_anything_is_made(tmp_path, capsys):
    system, output = ["--system", f"a={tmp_path}"], str(tmp_path / "o")
    for arguments, message in (
        (["make", "--system", "a", "--output", output], "give NAME=PLACE"),
        (["make", *system, "--output", output], "there is no video"),
        (["make", *system, "--output", output, "--consent", "nowhere.txt"], "no such file"),
        (["make", *system, "--output", output, "--set", "making.itms=3"], "did you mean 'making.items'"),
        (["score", str(tmp_path), "--key", "nowhere.json", "--output", "o"], "there is no such file"),
    ):  # fmt: skip
        assert main(["listening", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
