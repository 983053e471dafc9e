"""The demo page: complete, self-contained, and safe with text and file names from strangers."""

import html
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from PIL import Image

from v2a_core.media.encode import write_video
from v2a_core.report import (
    BundleReport,
    DemoEntry,
    DemoReport,
    JobReport,
    ModelReport,
    RejectReport,
    Verdict,
    write_demo_page,
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


def report(*entries: DemoEntry, trained: bool = True, text: str = "plain") -> DemoReport:
    return DemoReport(
        entries=entries,
        jobs=[JobReport("embed", 2.5, {text: 3}, {text: 1.0}), JobReport("generate", 95.0, {"sources": text})],
        rejects=[RejectReport(text, text, text, text, 2, "embed")],
        bundle=BundleReport("miniature", trained, [ModelReport(text, text, "ab" * 32)]),
        version="0.1.0",
        settings={"seed": 0, text: text},
    )


@pytest.fixture
def demo(tmp_path):
    """A page with a video whose name is hard on URLs, a silent video from elsewhere, and a still."""
    folder = tmp_path / "demo out"
    odd = video(folder / "video" / 'rain & 50% #1 "it\'s" ?<b>.mp4')
    silent = video(tmp_path / "elsewhere" / "silent.mp4", None)
    audio = folder / "audio" / "one.wav"
    audio.parent.mkdir()
    soundfile.write(audio, TONE, RATE)
    still = folder / "still.png"
    Image.new("RGB", (40, 30)).save(still)
    entries = [
        DemoEntry("a/" + EVIL, "video", odd, odd, None, EVIL, EVIL, EVIL, Verdict(EVIL, 0.5, False)),
        DemoEntry("silent.mp4", "video", silent, odd, audio, "siren"),
        DemoEntry("still.png", "image", still, None, audio, "bell", "a bell"),
    ]
    return folder, Page(write_demo_page(folder, report(*entries, trained=False, text=EVIL)))


def test_text_from_catalogs_is_escaped_everywhere(demo):
    _, page = demo
    assert EVIL not in page.source
    assert page.source.count(html.escape(EVIL, quote=False).split("&gt;")[0]) >= 10
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert "script-src 'sha256-" in policy


def test_every_link_is_relative_and_leads_to_a_file(demo):
    folder, page = demo
    links = [link for link in page.links() if not link.startswith("#")]
    assert len(links) >= 10
    for link in links:
        assert link.startswith("./")
        assert not set(link) & set(" #?\"'<>:&")
        assert (folder / unquote(link)).is_file(), link


def test_what_the_page_says(demo):
    folder, page = demo
    assert "Untrained weights" in page.source
    assert "there is no sound in the original" in page.source
    assert "a still image has no sound" in page.source
    assert "1\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}38\N{NO-BREAK SPACE}s" in page.source
    assert "ab" * 32 in page.source
    tags = [tag for tag, _ in page.tags]
    assert tags.count("video") == 4
    assert tags.count("audio") == 1
    assert (folder / "page-media" / "0001-original.mp4").is_file()


def test_a_trained_bundle_has_no_notice_and_an_empty_run_has_a_page(tmp_path):
    page = Page(write_demo_page(tmp_path, report()))
    assert "Untrained weights" not in page.source
    assert "<strong>0</strong> soundtracks" in page.source


def test_a_broken_original_costs_only_its_plot(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    page = Page(write_demo_page(tmp_path, report(DemoEntry("broken.mp4", "video", broken, None, None))))
    assert "not a readable video" in page.source
    assert "no soundtrack was made" in page.source


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
