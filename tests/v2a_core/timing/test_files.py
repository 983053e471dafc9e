"""Curves from files, and what is said when a file is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from v2a_core.config import ConfigError
from v2a_core.protocols import CURVE_HZ
from v2a_core.timing.envelope import compress, envelope
from v2a_core.timing.files import digest, read_curve, read_envelope


def table(tmp_path: Path, text: str, name: str = "curve.csv") -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def test_levels_go_in_straight_lines_and_the_last_one_goes_on(tmp_path: Path) -> None:
    curve = read_curve(table(tmp_path, "time_s, level\n0, 0\n1.0, 1\n\n2.0, 0.5\n"))
    assert curve.holds
    assert len(curve.level_F) == 2 * CURVE_HZ + 1
    middles_s = (np.arange(CURVE_HZ) + 0.5) / CURVE_HZ
    np.testing.assert_allclose(curve.level_F[:CURVE_HZ], compress(middles_s), atol=1e-6)
    assert curve.level_F[-1] == pytest.approx(compress([0.5])[0], abs=1e-3)


def test_onsets_are_those_that_are_said_else_those_of_the_level(tmp_path: Path) -> None:
    said = read_curve(table(tmp_path, "time_s,onset,level\n0,,0.4\n0.5,1,0.4\n1,0,0.4\n"))
    np.testing.assert_array_equal(np.flatnonzero(said.onset_F == 1), [25])
    unsaid = read_curve(table(tmp_path, "\ufefftime_s,level\n0,0.01\n0.5,0.01\n0.5,1\n0.7,0.01\n1,0.01\n", "other.CSV"))
    np.testing.assert_allclose(np.flatnonzero(unsaid.onset_F == 1), [25], atol=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns time_s, level and maybe onset, not nothing"),
        ("time,level\n0,1\n", "not time, level"),
        ("time_s,level,weight\n0,1,1\n", "not time_s, level, weight"),
        ("time_s,level\n", "it has no rows"),
        ("time_s,level\n0,1\n0.5,loud\n", "line 3: level = 'loud' is no number"),
        ("time_s,level\n0,1\n\n0.5\n", "line 4: level = '' is no number"),
        ("time_s,level\n0,1.5\n", "line 2: level = 1.5; it must be 0 to 1"),
        ("time_s,level\n-1,1\n", "line 2: time_s = -1; it must be 0 or more"),
        ("time_s,level\n0,nan\n", "line 2: level = nan; it must be"),
        ("time_s,level\n1,1\n0.5,1\n", r"line 3: time_s = 0\.5 comes after 1; times must ascend"),
        ("time_s,level\n0,0\n1,0\n", "level is 0 everywhere: nothing would be heard"),
        ("time_s,level\n0,1\n1e9,0\n", "1,000,000,000 s long; curves have up to 21,600 s"),
    ],
)
def test_a_table_that_is_no_curve_is_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"curve\.csv is no curve: .*{message}"):
        read_curve(table(tmp_path, text))


def test_a_table_of_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"bytes\.csv is no curve"):
        read_curve(str(tmp_path / "bytes.csv"))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_sound_file_gives_the_envelope_of_its_first_channel(tmp_path: Path, suffix: str) -> None:
    rate = 44_100
    wave_T = np.where(np.arange(rate) % 20_000 < 4000, 0.5, 0.01) * np.sin(np.arange(rate) * 0.1)
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, np.stack([wave_T, np.zeros(rate)], axis=1), rate)
    curve, expected = read_curve(str(path)), envelope(wave_T.astype(np.float32), rate)
    assert not curve.holds
    np.testing.assert_allclose(curve.level_F, expected.level_F, atol=0.05)
    assert digest(curve) == digest(read_envelope(str(path)))


def test_a_sound_that_cannot_be_followed_is_refused_with_the_reason(tmp_path: Path) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            read_curve(str(tmp_path / name))

    soundfile.write(tmp_path / "mute.wav", np.zeros(8000), 16_000)
    refused("mute.wav", r"mute\.wav cannot be followed: it is silent")
    (tmp_path / "notes.txt").write_text("loud, then soft")
    refused("notes.txt", r"notes\.txt cannot be followed: .*A curve is a sound file, or a table NAME\.csv")
    refused("gone.csv", r"there is no file .*gone\.csv to follow")
    refused("gone.wav", r"there is no file .*gone\.wav to follow")
    (tmp_path / "folder.csv").mkdir()
    refused("folder.csv", "there is no file")
    with pytest.raises(ConfigError, match="cannot be followed"):
        read_envelope(table(tmp_path, "time_s,level\n0,1\n"))


def test_a_digest_changes_with_what_a_curve_says(tmp_path: Path) -> None:
    digests = {
        digest(read_curve(table(tmp_path, f"time_s,level{head}\n0,{first}\n1,1{cell}\n")))
        for first, head, cell in ((0.1, "", ""), (0.2, "", ""))
    }
    same = [digest(read_curve(table(tmp_path, "time_s,level\n0,0.1\n1,1\n", name))) for name in ("a.csv", "b.csv")]
    assert len(digests) == 2
    assert len(set(same)) == 1
    assert same[0] in digests
