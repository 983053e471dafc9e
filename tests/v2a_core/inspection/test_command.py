"""`v2a models check` whole, with files as its users have them: sounds in a folder, the authors' checkpoint."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
import soundfile
from helpers_as_original import save_as_original

from v2a_core.inspection import files, origin, run
from v2a_core.inspection.report import line
from v2a_core.inspection.rows import Row
from v2a_core.miniature.world import WorldSettings, class_prompts, render_sound, sample
from v2a_core.models import load_bundle
from workflows.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RATE = 44_100


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sounds of each kind of the miniature's world, as recordings that are named by what is heard."""
    folder = tmp_path_factory.mktemp("sounds")
    for index in range(24):
        scene = sample(WorldSettings(), "test", index)
        name = class_prompts(scene.kind)[0].removeprefix("the sound of ")
        ending = "wav" if index < 12 else "flac"
        waveform = render_sound(scene, length_s=10.24, sample_rate=RATE)
        soundfile.write(folder / f"{name}-{index}.{ending}", waveform, RATE, subtype="PCM_16")
    return folder


def checked(tmp_path: Path, sounds: Path, *, averaged: bool) -> tuple[int, list[Row]]:
    """What the command says of the miniature beside a checkpoint that has its weights as averaged or as raw ones."""
    folder = load_bundle("miniature").resolve().generator_path
    checkpoint = save_as_original(folder, tmp_path / "audioldm.ckpt", averaged=averaged)
    output = tmp_path / "check"
    given = ["--sounds", str(sounds), "--checkpoint", str(checkpoint), "--output", str(output), "--device", "cpu"]
    code = main(["models", "check", "miniature", *given])
    said = json.loads((output / "check.json").read_text(encoding="utf-8"))
    assert said["sounds"] == 24
    return code, [Row(**row) for row in said["rows"]]


def test_the_right_models_pass_with_sounds_and_a_checkpoint(
    tmp_path: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = checked(tmp_path, sounds, averaged=True)
    assert (code, [row for row in rows if row.verdict == "wrong"]) == (0, [])
    assert sum(row.verdict == "right" for row in rows) > 24
    printed = capsys.readouterr().out
    page = html.unescape((tmp_path / "check" / "check.html").read_text(encoding="utf-8"))
    for row in rows:
        assert line(row) in printed
        assert row.found in page
        assert row.advice in page


def test_weights_that_are_the_checkpoints_raw_ones_end_with_one(
    tmp_path: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHECKS", (files.check_hashes, origin.check_origin))
    code, rows = checked(tmp_path, sounds, averaged=False)
    (wrong,) = [row for row in rows if row.verdict == "wrong"]
    assert (code, wrong.name) == (1, "UNet against the checkpoint")
    assert "raw weights instead of EMA" in wrong.advice
