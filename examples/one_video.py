"""Make one soundtrack without Ray: `python examples/one_video.py VIDEO MAPPER WAV`."""

from __future__ import annotations

import sys

import soundfile

import v2a_core


def main(video: str, mapper: str, path: str) -> None:
    """Generate, and write what was made as it is: float32 samples."""
    sound = v2a_core.soundtrack(video, mapper=mapper, models="miniature")
    soundfile.write(path, sound.waveform, sound.sample_rate)
    print(f"{len(sound.waveform) / sound.sample_rate:.1f} s at {sound.sample_rate} Hz -> {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
