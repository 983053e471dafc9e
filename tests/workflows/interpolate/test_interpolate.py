"""`v2a interpolate`: from one thing to another through sound."""

from __future__ import annotations

import html.parser
import itertools

import helpers_catalog
import numpy as np
import pytest
import soundfile
from helpers_media import tone

from v2a_core.config import ConfigError
from v2a_core.interpolation.ends import read_end
from v2a_core.media.audio_formats import as_it_comes
from v2a_core.media.write import write_audio
from v2a_core.models import load_bundle
from workflows.cli.main import main

SETTINGS = ["--set=duration_s=1.0", "--set=generator.num_inference_steps=4", "--set=generator.precision=fp32"]
HOSTILE = 'rain </script><script>alert(1)</script> & "thunder"'


class Page(html.parser.HTMLParser):
    """What a browser would load and run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources, self.scripts, self.words = [], 0, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def between_texts(tmp_path_factory):
    output = tmp_path_factory.mktemp("interpolated")
    arguments = ["interpolate", "a ringing bell", HOSTILE, "--output", str(output), "--steps", "5"]
    assert main([*arguments, "--models", "miniature", *SETTINGS]) == 0
    return output


def test_a_sound_for_each_step_and_each_differs_from_the_one_before(between_texts):
    files = sorted(between_texts.glob("step-*.wav"))
    assert [file.name for file in files] == [f"step-{number:02d}.wav" for number in range(5)]
    sounds = [soundfile.read(file) for file in files]
    for waveform, rate in sounds:
        assert (len(waveform), rate) == (16_000, 16_000)
        assert 0.01 < np.abs(waveform).max() <= 10 ** (-1 / 20) + 1e-3  # neither silent nor clipped
    assert all(np.abs(one[0] - two[0]).max() > 1e-3 for one, two in itertools.pairwise(sounds))


def test_the_page_plays_them_in_a_row_and_escapes_what_it_shows(between_texts):
    text = (between_texts / "index.html").read_text()
    page = Page(text)
    assert [name for name in page.sources if name.startswith("step-")] == [f"step-{n:02d}.wav" for n in range(5)]
    assert all((between_texts / name).is_file() for name in page.sources)
    assert page.scripts == 1
    assert HOSTILE in page.words
    assert "<script>alert" not in text


@pytest.mark.slow
def test_ends_that_are_seen_and_heard(tmp_path):
    mapper = helpers_catalog.random_mapper(tmp_path / "mapper", load_bundle("miniature").resolve())
    video = helpers_catalog.video(tmp_path / "a clip.mp4", 1.5)
    write_audio(tmp_path / "bell.m4a", 0.5 * tone(1.0, 660.0, 16_000), 16_000, as_it_comes("m4a"))
    output = tmp_path / "out"
    code = main(
        ["interpolate", str(video), str(tmp_path / "bell.m4a"), "--output", str(output), "--steps", "2",
         "--mapper", mapper, "--models", "miniature", *SETTINGS]
    )  # fmt: skip
    assert code == 0
    assert {file.name for file in output.iterdir()} == {
        "step-00.wav", "step-01.wav", "index.html", "manifest.json", "from.mp4", "to.m4a",
    }  # fmt: skip


def test_mistakes_are_answered_before_models_load(tmp_path, capsys):
    still = helpers_catalog.still(tmp_path / "a.png")
    common = ["--output", str(tmp_path / "out"), "--models", "miniature"]
    for ends, said in (
        ([str(still), "rain"], "needs --mapper URI"),
        (["rain", str(tmp_path / "gone.mp4")], "no file"),
        (["rain", " "], "an end is empty"),
    ):
        assert main(["interpolate", *ends, *common]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("given", "kind"), [("a dog barks", "text"), ("v2.0 of a song", "text")])
def test_a_text_is_what_has_no_files_suffix(given, kind):
    assert read_end(given).kind == kind


def test_a_missing_file_is_no_text():
    with pytest.raises(ConfigError, match=r"no file rain\.wav"):
        read_end("rain.wav")
