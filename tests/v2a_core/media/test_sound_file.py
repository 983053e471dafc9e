"""Sound files of every format as the decoder's process reads them: spans, lengths, and what is broken."""

from __future__ import annotations

from pathlib import Path

import helpers_sounds
import numpy as np
import pytest
import soundfile

from v2a_core.media.audio_formats import as_it_comes
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, decode_source
from v2a_core.media.sound_file import SoundFileReader
from v2a_core.media.types import MediaError, MediaSpec
from v2a_core.media.write import write_audio

SOUND = helpers_sounds.struck(1.4, 440)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_a_span_is_what_was_written_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    if suffix == "m4a":
        write_audio(path, SOUND, 16_000, as_it_comes("m4a"))
    else:
        soundfile.write(path, np.stack([SOUND, 0.1 * SOUND], axis=1), 16_000)
    with SoundFileReader(path) as reader:
        assert reader.length_s == pytest.approx(1.4, abs=0.15)
        found = reader.read(0.5, 0.4)
    assert found is not None
    assert (found.waveform.shape, found.sample_rate, found.errors) == ((6400,), 16_000, 0)
    expected = SOUND[8000:14400]
    best = max(np.corrcoef(np.roll(found.waveform, shift), expected)[0, 1] for shift in range(-1500, 1500, 10))
    assert best > 0.9


def test_what_is_no_sound_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(MediaError, match="not a readable sound file") as caught:
        SoundFileReader(tmp_path / "broken.wav")
    assert (caught.value.stage, caught.value.error_type) == ("probe", "UnknownFormat")


def test_a_sound_becomes_segments_without_frames(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.flac", SOUND, 16_000)
    segments = SegmentSettings(length_s=0.5, min_length_s=0.2)
    request = DecodeRequest(tmp_path / "sound.flac", "audio", "id", MediaSpec(), segments, FrameSettings(), native=True)
    planned, *decoded = decode_source(request)
    assert [segment.duration_s for segment in planned] == pytest.approx([0.5, 0.5, 0.4])
    assert [len(item.frames_NHWC) for item in decoded] == [0, 0, 0]
    np.testing.assert_allclose(decoded[1].native.samples_TC[:, 0], SOUND[8000:16_000], atol=1e-4)
    skipping = DecodeRequest(
        tmp_path / "sound.flac", "audio", "id", MediaSpec(), segments, FrameSettings(),
        skip=frozenset(segment.segment_id for segment in planned[:2]),
    )  # fmt: skip
    _, last = decode_source(skipping)
    assert last.segment.index == 2
    assert last.waveform.shape == (6_400,)
