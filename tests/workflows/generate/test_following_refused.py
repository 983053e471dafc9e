"""What nothing can follow, be it a given curve or one that shall be predicted: refused before anything loads."""

from __future__ import annotations

from pathlib import Path

import helpers_adapter
import helpers_catalog
import helpers_sounds
import pytest
import soundfile

from v2a_core.miniature import init_miniature
from v2a_core.models import load_bundle
from workflows.cli.main import main


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A video, a mapper, an adapter with random weights, and what is followed."""
    folder = tmp_path_factory.mktemp("given")
    local = load_bundle("miniature").resolve()
    (folder / "curve.csv").write_text("time_s,level,onset\n0,0.05,0\n1.2,1,1\n2.5,0.1,0\n")
    soundfile.write(folder / "sound.wav", helpers_sounds.struck(1.0, 300), helpers_sounds.RATE)
    return {
        "video": str(helpers_catalog.video(folder / "in.mp4", 1.0)),
        "mapper": helpers_catalog.random_mapper(folder / "mapper", local),
        "adapter": str(helpers_adapter.random_adapter(folder / "adapter", local)),
        "curve": str(folder / "curve.csv"),
        "sound": str(folder / "sound.wav"),
    }


NOTHING = "has nothing to follow: give --curve FILE or --reference-audio FILE"
REFUSED = [
    # A curve that is given
    ("--curve {curve} --reference-audio {sound}", "are two curves: give one of them"),
    ("--curve {curve} --adapter {mapper}", "no adapter: it has no config.json that names the generator"),
    ("--curve {curve} --adapter nowhere/at/all", "there is no such file or folder"),
    ("--curve gone.csv --adapter {adapter}", "there is no file gone.csv to follow"),
    ("--curve {video} --adapter {adapter}", "in.mp4 cannot be followed"),
    ("--reference-audio {curve} --adapter {adapter}", "curve.csv cannot be followed"),
    # One that is predicted
    ("--timing gru --set predictor.weights={mapper}", "is no curve predictor: it has no config.json"),
    ("--timing oboe", "timing = 'oboe': no such curve predictor; allowed: off | gru | motion"),
    ("--timing motion --set predictor.kind=gru", "timing is 'motion', and predictor.kind 'gru'"),
    ("--set frames.timing_fps=8", "frames.timing_fps = 8 is for `embed`"),
    # Both, or neither
    ("--timing motion --curve x.csv", "predicts a curve, and x.csv is another: say --no-timing"),
    ("--adapter {adapter}", NOTHING),
    ("--timing off --adapter {adapter}", NOTHING),
    ("--no-timing --adapter {adapter}", NOTHING),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_followed_is_refused_before_anything_loads(
    given: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    command = ["generate", given["video"], "--mapper", given["mapper"], "--models", "miniature"]
    words = [word.format(**given) for word in options.split()]
    assert main([*command, "--output", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_adapter_or_predictor_follows_nothing(
    given: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init_miniature(tmp_path / "bundle")
    local = load_bundle(str(tmp_path / "bundle")).resolve()
    mapper = helpers_catalog.random_mapper(tmp_path / "mapper", local)
    own = ["--adapter", str(helpers_adapter.random_adapter(tmp_path / "adapter", local))]
    command = ["generate", given["video"], "--mapper", mapper, "--models", str(tmp_path / "bundle")]
    command += ["--output", str(tmp_path / "out")]
    for options, message in (
        (["--curve", given["curve"]], "the bundle 'miniature-untrained' has no adapter"),
        (["--timing", "motion"], "the bundle 'miniature-untrained' has no adapter"),
        (["--curve", given["curve"], "--adapter", given["adapter"]], "was trained with the generator 'audioldm:"),
        (["--timing", "gru", *own], "the bundle 'miniature-untrained' has no predictor of curves"),
    ):
        assert main([*command, *options]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
