"""Muxing in the guarded process: whatever a video does to it, it costs that video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.mux import MixUnder, mux_soundtrack, muxed_suffix
from v2a_core.media.worker import Call


@dataclass(frozen=True)
class MuxRequest:
    """What `mux.mux_soundtrack` takes.

    Attributes:
        video_path: The video; absolute.
        waveform: Float32 (T,), -1..1.
        sample_rate: Its rate, Hz.
        out_path: The copy; absolute.
        tags: Metadata to write beside the original's.
        mix: Mix instead of replacing.
        start_s: Where the waveform begins in the video.
    """

    video_path: Path
    waveform: npt.NDArray[np.float32]
    sample_rate: int
    out_path: Path
    tags: Mapping[str, str]
    mix: MixUnder | None = None
    start_s: float = 0.0


def mux(guarded: GuardedDecoder, request: MuxRequest) -> None:
    """As `mux.mux_soundtrack`; the limits of the process and of a source's length hold.

    Raises:
        MediaError: When the copy cannot be made.
        OSError: When there is no room for it.
    """
    request.out_path.touch()  # the process may write this file, and make no other
    reads, writes = (request.video_path,), (request.out_path,)
    argument = (request, guarded.settings.max_duration_s)
    length_s = request.start_s + len(request.waveform) / request.sample_rate
    guarded.run(Call(f"{__name__}:serve_mux", argument, reads, writes, stage="mux"), extra_s=length_s)


def suffix(guarded: GuardedDecoder, video_path: Path) -> str:
    """As `mux.muxed_suffix`.

    Raises:
        MediaError: When the file cannot be read.
    """
    path = video_path.absolute()
    found: str = guarded.run(Call(f"{__name__}:serve_suffix", path, (path,), stage="mux"))
    return found


def serve_mux(argument: tuple[MuxRequest, float]) -> Iterator[None]:
    """`mux_soundtrack`, as the guarded process calls it."""
    request, max_duration_s = argument
    mux_soundtrack(
        request.video_path,
        request.waveform,
        request.sample_rate,
        request.out_path,
        request.tags,
        request.mix,
        start_s=request.start_s,
        max_duration_s=max_duration_s,
    )
    yield None


def serve_suffix(path: Path) -> Iterator[str]:
    """`muxed_suffix`, as the guarded process calls it."""
    yield muxed_suffix(path)
