"""The page of systems: complete, safe with text from strangers, and quick with many clips, in a real browser."""

from __future__ import annotations

import html
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers_browser import Browser, needs_chromium

from v2a_core.media.encode import write_video
from v2a_core.report.systems import Bar, Chart, Clip, ClipMetric, Sound, SystemsReport, write_systems_page
from v2a_core.report.systems.page import drawn
from v2a_core.report.systems.types import REFERENCES

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
RATE = 16_000
KL, SIMILAR = ClipMetric("kl", "KL", "lower"), ClipMetric("similarity", "Similarity", "higher")


def tone(seconds: float, hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def report(folder: Path, count: int, seconds: float = 1.0) -> SystemsReport:
    """Clips of a video and two systems; the second has nothing for the first clip, and a broken file for the next."""
    folder.mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (round(8 * seconds), 48, 64, 3), np.uint8)
    write_video(folder / "real.mp4", frames, 8, tone(seconds, 300), RATE)
    for number in range(5):
        soundfile.write(folder / f"{number}.wav", tone(seconds, 400 + 100 * number), RATE)
    clips = []
    for number in range(count):
        score = (7 * number) % count  # another order than that of the names
        sounds = {
            REFERENCES: Sound(str(folder / "real.mp4"), is_video=True, onsets_s=(0.1, 0.5)),
            "ours": Sound(
                str(folder / f"{number % 5}.wav"),
                values={"kl": score, "similarity": number},
                onsets_s=[0.3],
                prompt=EVIL,
                seed=number + 70,
            ),
        }
        if number:
            error = "it is broken" if number == 1 else ""
            sounds["<i>theirs"] = Sound(str(folder / "0.wav"), error=error, values={"kl": number} if number > 1 else {})
        clips.append(Clip(f"clip{number:03d}", sounds, EVIL if number == 2 else ("rain", "bell")[number % 2], EVIL))
    bars = [Bar("ours", 2.0, 1.5, 2.5, count), Bar("<i>theirs", 3.0, None, None, count, difference="+1.000")]
    unknown = Chart("FD", "lower", [bars[0], Bar("<i>theirs", None, reason=EVIL)])
    charts, files = [Chart("KL", "lower", bars, {"silence": 6.0}), unknown], [f"ours: 1 missing: {EVIL}"]
    systems, metrics = ["ours", "<i>theirs"], [KL, SIMILAR]
    return SystemsReport(
        systems, clips, count + 10, metrics, charts, files, {"protocol": EVIL}, "0.0", has_references=True
    )


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    root = tmp_path_factory.mktemp("few")
    return Path(write_systems_page(str(root / "page" / "index.html"), report(root / "sounds", 4)))


def test_bars_are_on_one_scale_that_holds_zero_and_every_interval():
    bars = [Bar("a", 2.0, 1.0, 3.0), Bar("b", -1.0), Bar("c", None, reason="why")]
    a, b, c = drawn(Chart("x", "lower", bars))
    assert (a.start, a.length, a.low, a.high) == (0.25, 0.5, 0.5, 1.0)
    assert (b.start, b.length) == (0.0, 0.25)
    assert (c.length, c.low) == (0.0, None)


def test_text_of_strangers_stays_text_and_what_is_missing_is_said(few):
    text = few.read_text()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert html.escape(EVIL, quote=False).replace('"', "&#34;").replace("'", "&#39;") in text
    assert "there is no such file" in text
    assert "it is broken" in text
    assert "<dt>seed</dt><dd>71</dd>" in text
    assert text.count('<p class="prompt">&lt;script&gt;') == 4
    assert "The 4 in which ours is worst are below" in text
    assert "http" not in text.replace("http-equiv", "")
    assert len(list((few.parent / "page-media").glob("*-video.mp4"))) == 4


@needs_chromium
def test_a_person_sorts_filters_and_plays(few):
    names = "[...document.querySelectorAll('.row:not([hidden])')].map(row => row.dataset.name).join(' ')"
    with Browser() as browser, browser.page(few.as_uri()) as page:
        assert page.js(names) == "clip001 clip002 clip003 clip000"  # KL of ours: 0, 3, 2, 1
        page.js("(() => { const s = document.querySelector('#sort'); s.value = 'similarity'; "
                "s.dispatchEvent(new Event('change')); })()")  # fmt: skip
        assert page.js(names) == "clip000 clip001 clip002 clip003"
        page.click("#order")
        assert page.js(names) == "clip003 clip002 clip001 clip000"
        assert page.js("document.querySelector('#order').textContent") == "Best first"
        page.click("#filter")
        page.type("clip001")
        page.wait(f"{names} === 'clip001'")
        assert page.js("document.querySelector('#count').textContent") == "1 of 4 shown"
        page.click(".row:not([hidden]) .take[data-system=ours] .play")
        page.wait("document.querySelector('audio') && document.querySelector('audio').currentTime > 0.1")
        assert page.js("document.querySelector('.screen video').muted")
        page.wait("document.querySelector('.screen video').currentTime > 0")
        assert page.js("getComputedStyle(document.querySelector('.screen video')).objectFit") == "contain"
        left, right = (
            page.js(f"document.querySelector('.row:not([hidden]) {of}').getBoundingClientRect().{side}")
            for of, side in ((".take", "left"), (".screen", "right"))
        )
        assert 0 <= left - right < 20  # no gap between the picture and the sounds
        picture, sound = (f"document.querySelector('{name}')" for name in (".screen video", "audio"))
        page.wait(f"!{sound} || Math.abs({picture}.currentTime - {sound}.currentTime) < 0.3")
        page.press("Escape")
        assert page.js("document.querySelectorAll('audio, video').length") == 0
        page.click(".row:not([hidden]) .take.real .play")  # its sound is the video's own
        page.wait("document.querySelector('.screen video') && document.querySelector('.screen video').currentTime > 0")
        assert page.js("!document.querySelector('.screen video').muted && !document.querySelector('audio')")
        page.press("Escape")
        assert ("button", "Play ours: clip001") in page.names()
        assert page.trouble() == []
        assert all(address.startswith(("file:", "about:", "data:")) for address in page.requests())


@needs_chromium
def test_a_phone_shows_all_of_it_without_sideways_scrolling(few):
    with Browser() as browser, browser.page(few.as_uri(), width=390, height=800, mobile=True, dark=True) as page:
        assert page.js("document.documentElement.scrollWidth") <= 390
        # What a system differs by is told under its value, where there is no room for a column.
        assert "+1.000minus ours" in page.js("document.querySelectorAll('.chart .value')[1].innerText").replace(
            "\n", ""
        )
        assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(19, 17, 24)"
        assert page.trouble() == []


@needs_chromium
@pytest.mark.slow
@pytest.mark.timeout(900)  # 1,500 plots are drawn
def test_five_hundred_clips_do_not_choke_it(tmp_path):
    path = Path(write_systems_page(str(tmp_path / "page" / "index.html"), report(tmp_path / "sounds", 500, 0.5)))
    assert path.stat().st_size < 6e6
    with Browser() as browser:
        started = time.monotonic()
        with browser.page(path.as_uri()) as page:
            assert time.monotonic() - started < 30
            assert page.js("document.querySelectorAll('.row').length") == 500
            sorting = "(() => { const t = performance.now(); document.querySelector('#order').click(); "
            sorting += "document.body.offsetHeight; return performance.now() - t; })()"
            assert page.js(sorting) < 3000
            # Media and pictures come when they are wanted.
            assert page.js("document.querySelectorAll('audio, video').length") == 0
            seen = [address for address in page.requests() if address.endswith((".png", ".jpg"))]
            assert len(seen) < 400
            assert not any(address.endswith((".wav", ".mp4")) for address in page.requests())
            assert page.trouble() == []
