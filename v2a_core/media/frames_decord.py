"""Frames by decord: fast where it reads faithfully, refused where it does not."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from v2a_core.media import magic
from v2a_core.media.config import FrameSettings
from v2a_core.media.image import fit
from v2a_core.media.probe import Timeline
from v2a_core.media.types import Frame

# What decord's ffmpeg of 2021 decodes, in containers in which it seeks to the right frame (not MPEG, not AVI).
_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mjpeg"})
_CONTAINERS = frozenset({"mov", "matroska"})


class DecordError(Exception):
    """decord cannot read this file, or not faithfully."""


class DecordReader:
    """decord, one thread, sorted indices.

    Raises:
        DecordError: For what it would not read faithfully, here or in `read`.
    """

    name = "decord"
    errors = 0
    lost = 0

    def __init__(self, path: Path, timeline: Timeline, image_size: int) -> None:
        try:
            import decord
        except (ImportError, OSError) as error:  # no wheel for this machine, or none whose library loads here
            raise DecordError from error
        decord.logging.set_level(decord.logging.ERROR)
        self._failures = (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, AssertionError, IndexError)
        self._timeline, self._image_size = timeline, image_size
        if not magic.is_unmistakable(path):
            raise DecordError("decord would guess what the file is, and might see another")
        try:
            with _complaints_are_errors():
                # A tolerance just above zero: raise where decord would silently repeat a frame it could not decode.
                self._video = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)
        except self._failures as error:
            raise DecordError from error
        if len(self._video) != len(timeline.frame_times_s):
            raise DecordError("decord counts other frames than the container shows")

    @staticmethod
    def takes(timeline: Timeline, settings: FrameSettings) -> bool:
        """Whether to try it; it ignores rotation flags, and skips nothing."""
        known = timeline.codec in _CODECS and bool(_CONTAINERS & set(timeline.container.split(",")))
        return known and not timeline.rotation_deg and settings.sampling == "exact"

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times and frames; see `frames.FrameReader.read`."""
        try:
            with _complaints_are_errors():
                frames_NHWC = self._video.get_batch(indices.tolist()).asnumpy()
        except self._failures as error:
            raise DecordError from error
        times = self._timeline.frame_times_s[indices]
        return [
            (float(time), fit(Image.fromarray(frame), self._image_size))
            for time, frame in zip(times, frames_NHWC, strict=True)
        ]

    def close(self) -> None:
        """Give the file back."""
        self._video = None


@contextlib.contextmanager
def _complaints_are_errors() -> Iterator[None]:
    """Look at what is printed to standard error meanwhile: nothing else tells that frames are patched up.

    decord returns pictures that its decoder concealed, or made from broken references, as if nothing had happened;
    the decoder itself says so there.

    Raises:
        DecordError: When anything was printed.
    """
    with _unnamed_file() as heard:
        stderr = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        if heard.seek(0, os.SEEK_END):
            raise DecordError("the decoder complains")


def _unnamed_file() -> IO[bytes]:
    """A file that is nowhere: in memory, where the system has that, as a confined process can make no other."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("complaints"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
