"""The command and its report: what is printed, written, and how it ends."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from helpers_models import miniature
from PIL import Image

from v2a_core.config import ConfigError
from v2a_core.inspection import files, run, seeing
from v2a_core.inspection.material import Material, read
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.report import line, write_report
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.models import load_bundle
from workflows.cli.main import main

ROWS = [
    judged("one", "2", "2", True, "nothing to do"),
    judged("<two>", "2", "3", False, "make it two"),
    unchecked("three", "4", "--sounds FOLDER"),
]


def test_a_line_says_what_to_do_only_where_something_is_to_do():
    right, wrong, missing = (line(row) for row in ROWS)
    assert right == "right        one: 2 (expected: 2)"
    assert wrong.startswith("WRONG        <two>: 3 (expected: 2)\n")
    assert "make it two" in wrong
    assert missing.startswith("not checked  three")
    assert "--sounds FOLDER" in missing


def test_the_report_holds_all_rows(tmp_path):
    bundle = load_bundle("miniature")
    opened = Opened(bundle, miniature(), Material([], []))
    write_report(str(tmp_path), opened, ROWS, 1.25)
    said = json.loads((tmp_path / "check.json").read_text())
    assert [Row(**row) for row in said["rows"]] == ROWS
    assert said["fingerprints"] == miniature().fingerprints()
    page = (tmp_path / "check.html").read_text()
    assert "&lt;two&gt;" in page
    assert "make it two" in page
    assert "1 right, 1 wrong, 1 not checked" in page


@pytest.mark.parametrize("ends", [0, 1])
def test_the_command_ends_with_one_when_something_is_wrong(tmp_path, monkeypatch, capsys, ends):
    monkeypatch.setattr(run, "CHECKS", (files.check_hashes, seeing.check_pixels))
    if ends:
        monkeypatch.setattr(files, "_expected", lambda opened, key, path: "0" * 64)
    code = main(["models", "check", "miniature", "--output", str(tmp_path / "check"), "--device", "cpu"])
    printed = capsys.readouterr().out
    assert code == ends
    assert ("WRONG" in printed) == bool(ends)
    assert (tmp_path / "check" / "check.html").is_file()


def test_sounds_of_one_kind_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least two of different kinds"):
        read(tmp_path, None)
    with pytest.raises(ConfigError, match="is no folder"):
        read(tmp_path / "nowhere", None)


def test_sounds_and_pictures_are_named_by_their_files(tmp_path):
    time = np.arange(22_050) / 22_050
    for name, hz in (("dog barking.wav", 440), ("dog barking-2.flac", 660), ("rain_3.wav", 990)):
        stereo = np.stack([np.sin(2 * np.pi * hz * time), np.zeros(len(time))], axis=1)
        soundfile.write(tmp_path / name, stereo, 22_050)
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "red_wall.png")
    given = read(tmp_path, tmp_path)
    assert [sound.kind for sound in given.sounds] == ["dog barking", "dog barking", "rain"]
    assert {(len(sound.waveform_T), sound.sample_rate) for sound in given.sounds} == {(22_050, 22_050)}
    assert min(np.abs(sound.waveform_T).max() for sound in given.sounds) > 0.9
    assert [(picture.kind, picture.file) for picture in given.pictures] == [("red wall", "red_wall.png")]
    soundfile.write(tmp_path / "nothing.wav", np.zeros(800), 16_000)
    with pytest.raises(ConfigError, match=r"nothing.wav is silent"):
        read(tmp_path, None)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(ConfigError, match=r"broken.wav cannot be read as a sound"):
        read(tmp_path, None)
