"""The command and its report: what is printed, written, and how it ends."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers_models import miniature
from PIL import Image
from safetensors.torch import load_file, save_file

import v2a_core
from v2a_core.config import ConfigError
from v2a_core.inspection import denoising, files, run, seeing
from v2a_core.inspection.material import read
from v2a_core.inspection.report import Report, line, write_report
from v2a_core.inspection.rows import Row, judged, unchecked
from workflows.cli.main import main

WEIGHTS = Path(v2a_core.__file__).parent / "miniature" / "weights"
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
    write_report(str(tmp_path), Report("miniature", "cpu", ROWS, 1.25, miniature().fingerprints()))
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


def copied(tmp_path: Path) -> Path:
    """The shipped bundle as files that may be spoilt, with the list of their checksums."""
    return Path(shutil.copytree(WEIGHTS, tmp_path / "bundle", ignore=shutil.ignore_patterns("judge")))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("missing", "is a folder without weights"),
        ("changed", "audio/clap_miniature.pt is damaged or was changed: its digest is"),
        ("contradictory", "generator.weights = './generator': with a checkpoint it says which"),
    ],
)
def test_a_bundle_that_is_refused_has_a_report_of_that(tmp_path, capsys, fault, found):
    bundle, output = copied(tmp_path), tmp_path / "check"
    weights = bundle / "audio" / "clap_miniature.pt"
    if fault == "missing":
        weights.unlink()
    elif fault == "changed":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        said = (bundle / "bundle.yaml").read_text(encoding="utf-8")
        generator = "  weights: ./generator\n"
        assert generator in said
        (bundle / "bundle.yaml").write_text(
            said.replace(generator, f"{generator}  checkpoint: ./audio/clap_miniature.pt\n"), encoding="utf-8"
        )
    assert main(["models", "check", str(bundle), "--output", str(output), "--device", "cpu"]) == 1
    printed = capsys.readouterr().out
    said = json.loads((output / "check.json").read_text())
    (row,) = said["rows"]
    assert (row["name"], row["verdict"]) == ("files of the bundle", "wrong")
    assert found in row["found"]
    assert row["found"] in html.unescape((output / "check.html").read_text())
    assert printed.startswith("WRONG        files of the bundle")
    assert printed.endswith("0 right, 1 wrong, 0 not checked\n")


def test_weights_that_are_no_numbers_are_a_row(tmp_path, monkeypatch, capsys):
    bundle = copied(tmp_path)
    (bundle / "checksums.json").unlink()
    file = bundle / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "conv_in.bias": torch.full_like(tensors["conv_in.bias"], torch.nan)}, file)
    monkeypatch.setattr(run, "CHECKS", (files.check_fits, denoising.check_null))
    assert main(["models", "check", str(bundle), "--output", str(tmp_path / "check"), "--device", "cpu"]) == 1
    first, second = json.loads((tmp_path / "check" / "check.json").read_text())["rows"]
    assert "conv_in.bias holds numbers that are NaN or infinite" in first["found"]
    assert second["verdict"] == "wrong"
    assert "2 wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sounds", "nowhere"], "--sounds nowhere is no folder"),
        (["--checkpoint", "none.ckpt"], "--checkpoint none.ckpt: there is no such file"),
        (["--output", "/proc/check"], "storage: write is"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_loaded(capsys, options, said):
    assert main(["models", "check", "miniature", *options]) == 2
    assert said in capsys.readouterr().err


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
