"""Muxing in the guarded process: whatever a video does to it, it costs that video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.mux import MuxRequest, mux_soundtrack, muxed_suffix
from v2a_core.media.worker import Call


def mux(guarded: GuardedDecoder, request: MuxRequest) -> None:
    """As `mux.mux_soundtrack`, of absolute paths; the limits of the process and of a source's length hold.

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
    return str(guarded.run(Call(f"{__name__}:serve_suffix", path, (path,), stage="mux")))


def serve_mux(argument: tuple[MuxRequest, float]) -> Iterator[None]:
    """`mux_soundtrack`, as the guarded process calls it."""
    request, max_duration_s = argument
    mux_soundtrack(request, max_duration_s)
    yield None


def serve_suffix(path: Path) -> Iterator[str]:
    """`muxed_suffix`, as the guarded process calls it."""
    yield muxed_suffix(path)
