"""Few frames of a video: those that ffmpeg's filter gives out, as torchvision makes them smaller."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.media import worker
from v2a_core.media.config import GuardSettings
from v2a_core.media.encode import write_video
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.sampled_frames import Film, SampleRequest, sample
from v2a_core.media.types import MediaError

FPS, SECONDS = 10, 7


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Grey that grows lighter from frame to frame, with a bright edge on the left."""
    frames = [np.full((48, 80, 3), 2 * place, np.uint8) for place in range(FPS * SECONDS)]
    for frame in frames:
        frame[:, :16] = 250
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(file, frames, FPS)
    return file


def look(path, start_s=0.0, length_s=8.0, side=24) -> Film:
    return list(sample(SampleRequest(path, start_s, length_s, 2.0, side)))[-1]


def by_ffmpeg(path) -> list[np.ndarray]:
    """What its filter makes of all frames."""
    graph, found = av.filter.Graph(), []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        source = graph.add_buffer(template=stream, time_base=stream.time_base)
        steps, sink = graph.add("fps", "fps=0.5"), graph.add("buffersink")
        source.link_to(steps)
        steps.link_to(sink)
        graph.configure()
        for frame in [*container.decode(stream), None]:
            graph.push(frame)
            while True:
                try:
                    found.append(graph.pull().to_ndarray(format="rgb24"))
                except (av.BlockingIOError, av.EOFError):
                    break
    return found


def test_they_are_those_of_ffmpeg_and_torchvision(path):
    prepare_torchvision()
    from torchvision.transforms import v2

    film = look(path)
    assert film.frames_FHWC.shape == (4, 24, 40, 3)
    assert film.length_s == pytest.approx(SECONDS)
    whole = torch.from_numpy(np.stack(by_ffmpeg(path))).permute(0, 3, 1, 2)
    theirs = v2.Resize(24, interpolation=v2.InterpolationMode.BICUBIC)(whole).permute(0, 2, 3, 1)
    assert np.abs(film.frames_FHWC.astype(int) - theirs.numpy()).max() <= 2


def test_a_short_video_has_fewer_and_one_at_least(path, tmp_path):
    assert len(look(path, start_s=0.1).frames_FHWC) == 3  # of the fourth step the first half is not all there
    assert len(look(path, length_s=6.0).frames_FHWC) == 3
    moment = look(path, length_s=0.3).frames_FHWC
    assert len(moment) == 1
    assert moment[0, :, -1].mean() == pytest.approx(2 * 2, abs=3)  # the last of three
    write_video(tmp_path / "still.mp4", [np.zeros((32, 32, 3), np.uint8)], FPS)
    assert len(look(tmp_path / "still.mp4").frames_FHWC) == 1


def test_a_span_begins_where_it_is_said_to(path):
    first, second = (look(path, start_s=start_s, length_s=2.0).frames_FHWC for start_s in (0.0, 3.0))
    assert first[0, :, -1].mean() == pytest.approx(2 * 9, abs=3)
    assert second[0, :, -1].mean() == pytest.approx(2 * 39, abs=3)


def test_it_runs_in_the_guarded_process_and_says_what_it_cannot_see(path, tmp_path):
    def call(file):
        request = SampleRequest(file, 0.0, 8.0, 2.0, 24)
        return worker.Call("v2a_core.media.sampled_frames:sample", request, reads=(file,))

    (tmp_path / "none.mp4").write_bytes(b"no video")
    with GuardedDecoder(GuardSettings()) as decoder:
        np.testing.assert_array_equal(decoder.run(call(path)).frames_FHWC, look(path).frames_FHWC)
        with pytest.raises(MediaError):
            decoder.run(call(tmp_path / "none.mp4"))
    with pytest.raises(MediaError, match="no frame in its span"):
        look(path, start_s=20.0)
