"""The listening page: complete, self-contained, and safe with text and file names from strangers."""

import html
import itertools
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from PIL import Image

from v2a_core.media.audio_formats import AUDIO_FORMATS, as_it_comes
from v2a_core.media.encode import write_video
from v2a_core.media.write import write_audio
from v2a_core.report import (
    BundleReport,
    JobReport,
    ModelReport,
    PageEntry,
    PageReport,
    RejectReport,
    Verdict,
    write_page,
)
from v2a_core.report.plots import RATE, read_waveform, spectrogram_png, waveform_path

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


class Page(HTMLParser):
    """Tags and links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def links(self) -> list[str]:
        return [attrs[name] for _, attrs in self.tags for name in ("src", "poster", "href") if attrs.get(name)]


def video(path: Path, waveform=TONE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.full((5, 32, 48, 3), 90, np.uint8), 5, waveform, RATE)
    return path


def report(*entries: PageEntry, trained: bool = True, text: str = "plain") -> PageReport:
    return PageReport(
        entries=entries,
        jobs=[JobReport("embed", 2.5, {text: 3}, {text: 1.0}), JobReport("generate", 95.0, {"sources": text})],
        rejects=[RejectReport(text, text, text, text, 2)],
        total=len(entries),
        rejected=1,
        bundle=BundleReport("miniature", trained, [ModelReport(text, text, "ab" * 32)]),
        version="0.1.0",
        settings={"seed": 0, text: text},
    )


@pytest.fixture
def demo(tmp_path):
    """A page with a video whose name is hard on URLs, a silent video from elsewhere, and a still."""
    folder = tmp_path / "demo out"
    odd = str(video(folder / "video" / 'rain & 50% #1 "it\'s" ?<b>.mp4'))
    silent = str(video(tmp_path / "elsewhere" / "silent.mp4", None))
    audio = folder / "audio" / "one.wav"
    audio.parent.mkdir()
    soundfile.write(audio, TONE, RATE)
    still = folder / "still.png"
    Image.new("RGB", (40, 30)).save(still)
    verdict = Verdict(EVIL, 0.5, False)
    entries = [
        PageEntry("a/" + EVIL, "video", odd, None, odd, label=EVIL, caption=EVIL, split=EVIL, verdict=verdict),
        PageEntry("silent.mp4", "video", odd, str(audio), silent, label="siren", similarity=0.25),
        PageEntry("still.png", "image", None, str(audio), str(still), label="bell", caption="a bell"),
    ]
    page = write_page(str(folder / "index.html"), report(*entries, trained=False, text=EVIL))
    return folder, Page(Path(page))


def test_text_from_catalogs_is_escaped_everywhere(demo):
    _, page = demo
    assert EVIL not in page.source
    assert page.source.count(html.escape(EVIL, quote=False).split("&gt;")[0]) >= 10
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy


def test_every_link_is_relative_and_leads_to_a_file(demo):
    folder, page = demo
    links = [link for link in page.links() if not link.startswith("#")]
    assert len(links) >= 10
    for link in links:
        assert link.startswith("./")
        assert not set(link) & set(" #?\"'<>:&")
        assert (folder / unquote(link)).is_file(), link


def test_no_media_load_before_they_are_wanted(demo):
    _, page = demo
    tags = [tag for tag, _ in page.tags]
    assert not {"video", "audio", "iframe", "link"} & set(tags)
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) >= 8
    assert all(attrs["loading"] == "lazy" for attrs in pictures)


def test_every_control_has_a_name_of_its_own_and_headings_are_in_order(demo):
    _, page = demo
    names = [attrs["aria-label"] for tag, attrs in page.tags if tag == "button" and "aria-label" in attrs]
    assert sorted(names) == sorted({*names})
    assert "Play made: still.png" in names
    assert f"Play original: a/{EVIL}" in names
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))


def test_what_the_page_says(demo):
    folder, page = demo
    assert "Untrained weights" in page.source
    assert "there is no sound in the original" in page.source
    assert "a still image has no sound" in page.source
    assert "similarity to its condition <strong>0.25" in page.source
    assert "1\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}38\N{NO-BREAK SPACE}s" in page.source
    assert "ab" * 32 in page.source
    assert (folder / "page-media" / "0001-original.mp4").is_file()


def test_a_trained_bundle_has_no_notice_and_an_empty_run_has_a_page(tmp_path):
    page = Page(Path(write_page(str(tmp_path / "index.html"), report())))
    assert "Untrained weights" not in page.source
    assert "<strong>0</strong> soundtracks" in page.source


def test_broken_media_cost_only_their_plots(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    sound = tmp_path / "broken.wav"
    sound.write_bytes(b"not a sound")
    entries = [
        PageEntry("broken.mp4", "video", None, None, str(broken)),
        PageEntry("b", "video", str(broken), str(sound)),
        PageEntry("gone", "video", str(tmp_path / "gone.mp4"), str(tmp_path / "gone.wav")),
    ]
    page = Page(Path(write_page(str(tmp_path / "index.html"), report(*entries))))
    assert "not a readable video" in page.source
    assert "not a readable sound" in page.source
    assert "no soundtrack was made" in page.source
    assert "no file" in page.source


def test_the_soundtrack_of_a_span_plays_where_it_begins(tmp_path):
    made, audio = video(tmp_path / "made.mp4"), tmp_path / "made.wav"
    soundfile.write(audio, TONE[: RATE // 2], RATE)
    page = Page(
        Path(write_page(str(tmp_path / "i.html"), report(PageEntry("a", "video", str(made), str(audio), start_s=0.5))))
    )
    (button,) = [attrs for tag, attrs in page.tags if tag == "button" and "data-video" in attrs]
    assert (button["data-start"], button["data-length"]) == ("0.5", "0.5")


def test_a_page_elsewhere_has_copies_of_the_media(tmp_path):
    audio = tmp_path / "soundtracks" / "audio" / "one.wav"
    audio.parent.mkdir(parents=True)
    soundfile.write(audio, TONE, RATE)
    place = tmp_path / "elsewhere" / "listen.html"
    write_page(str(place), report(PageEntry("one", "image", None, str(audio))))
    assert (place.parent / "page-media" / "0000-made.wav").read_bytes() == audio.read_bytes()
    assert "./page-media/0000-made.wav" in place.read_text()


@pytest.mark.parametrize("suffix", AUDIO_FORMATS.names())
def test_every_format_of_a_soundtrack_is_plotted(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    write_audio(path, TONE, RATE, as_it_comes(suffix), {})
    waveform = read_waveform(path, 1.0)
    assert waveform is not None
    assert abs(len(waveform) - RATE) < RATE / 20
    assert np.abs(waveform).max() == pytest.approx(0.3, abs=0.1)


def test_plots_show_the_sound(tmp_path):
    path = video(tmp_path / "tone.mp4")
    waveform = read_waveform(path)
    assert waveform is not None
    assert waveform.shape == (RATE,)
    (tmp_path / "plot.png").write_bytes(spectrogram_png(waveform))
    picture = np.asarray(Image.open(tmp_path / "plot.png"))  # palette indices: levels
    assert picture.shape == (72, 80)
    assert picture[:, 40].argmax() > 45  # 440 Hz is in the lower part
    points = waveform_path(waveform, columns=10)
    assert points.startswith("M0,")
    assert points.count("L") == 19
    assert read_waveform(video(tmp_path / "silent.mp4", None)) is None
    assert read_waveform(video(tmp_path / "zeros.mp4", np.zeros(RATE, np.float32))) is None
