"""Motion of videos: as the published script of AV-Align finds it."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from v2a_core.media import worker
from v2a_core.media.config import GuardSettings
from v2a_core.media.encode import write_video
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.motion import Motion, MotionRequest, motion_of
from v2a_core.media.types import MediaError
from v2a_core.metrics.av_align import motion_peaks

FPS = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Three seconds of a texture that jumps at 1.0 s and 2.0 s, and stands still else."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 160, 3), np.uint8)
    texture = cv2.GaussianBlur(texture, (9, 9), 3)
    places = np.cumsum([6 if index in (10, 20) else 0 for index in range(30)])
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, [texture[:, place : place + 96] for place in places], FPS)
    return path


def published(path) -> np.ndarray:
    """The way of the script: every frame by OpenCV's own reader."""
    capture, grays = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        grays.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY))
    found = []
    for before, after in itertools.pairwise(grays):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        found.append(cv2.mean(cv2.magnitude(flow[..., 0], flow[..., 1]))[0])
    return np.array([found[0], *found])


def look(path, start_s: float = 0.0, length_s: float = 0.0) -> Motion:
    return list(motion_of(MotionRequest(path, start_s, length_s)))[-1]


def test_it_is_that_of_the_published_script(film):
    found = look(film)
    assert found.frames_per_second == FPS
    np.testing.assert_allclose(found.motion_F, published(film), rtol=1e-3)
    np.testing.assert_allclose(motion_peaks(found.motion_F, FPS), [1.0, 2.0])


def test_a_span_is_a_part_of_the_whole(film):
    part = look(film, 0.5, 1.0)
    assert len(part.motion_F) == 10
    np.testing.assert_allclose(part.motion_F[1:], look(film).motion_F[6:15], rtol=1e-6)


def test_it_runs_in_the_guarded_process_and_says_what_it_cannot_see(film, tmp_path):
    def call(path):
        request = MotionRequest(path, 0.0, 0.0)
        return worker.Call("v2a_core.media.motion:motion_of", request, reads=(path,), stage="motion")

    with GuardedDecoder(GuardSettings()) as decoder:
        np.testing.assert_array_equal(decoder.run(call(film)).motion_F, look(film).motion_F)
        (tmp_path / "one.mp4").write_bytes(b"no video")
        with pytest.raises(MediaError):
            decoder.run(call(tmp_path / "one.mp4"))
        write_video(tmp_path / "still.mp4", [np.zeros((32, 32, 3), np.uint8)], FPS)
        with pytest.raises(MediaError, match="two frames"):
            decoder.run(call(tmp_path / "still.mp4"))
