"""What is damaged gives its good part; what is no video, or too much of one, is refused."""

from __future__ import annotations

import errno
import itertools
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import av
import numpy as np
import pytest
from helpers_decode import decode, indices, timed_frames
from helpers_media import moving, picture, render, tone
from PIL import Image

from v2a_core.media import magic
from v2a_core.media.audio_formats import as_it_comes
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import SegmentReject
from v2a_core.media.probe import read_timeline
from v2a_core.media.types import DecodedSegment, MediaError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s, 25 frames a second, a tone."""
    return render(tmp_path_factory.mktemp("media") / "clip.mp4", sound=tone(2.0))


def test_truncated_file_gives_its_good_part(tmp_path: Path) -> None:
    noise = [np.random.default_rng(index).integers(0, 256, (48, 64, 3), dtype=np.uint8) for index in range(100)]
    path = render(tmp_path / "whole.mkv", pts=range(100), pictures=noise, options={"g": "10"})
    whole = decode(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut = decode(path)
    assert 1 <= len(cut) < len(whole) == 4
    assert all(item.damaged and 0.3 < item.decoded_share < 0.7 for item in cut)


def test_faststart_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    noise = [np.random.default_rng(index).integers(0, 256, (48, 64, 3), dtype=np.uint8) for index in range(100)]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10"})
        stream.width, stream.height = 64, 48
        for pixels in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut = decode(path)
    assert cut
    assert all(isinstance(item, DecodedSegment) and item.damaged and item.decoded_share < 0.7 for item in cut)


def flip(path: Path, place: float, count: int) -> None:
    """Flip a run of bytes that begins at a share of the file."""
    content = bytearray(path.read_bytes())
    start = round(place * len(content))
    content[start : start + count] = bytes(byte ^ 0x55 for byte in content[start : start + count])
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mp4", "mpeg4")])
@pytest.mark.parametrize("flips", [800, 4000])
def test_flipped_bytes_cost_frames_but_give_no_wrong_one(tmp_path: Path, name: str, codec: str, flips: int) -> None:
    """decord returns every frame of such a file without an error; what it returns is made of broken references."""
    path = render(
        tmp_path / name, pts=range(100), codec=codec, pictures=moving(100), size=(160, 90), options={"g": "20"}
    )
    frames = FrameSettings(frames_per_second=25.0, min_decoded_share=0.0)
    whole = {round(time * 25): frame for item in decode(path, frames=frames) for time, frame in timed_frames(item)}
    flip(path, 0.5, flips)
    items = [item for item in decode(path, frames=frames) if isinstance(item, DecodedSegment)]
    there = [(round(time * 25), frame) for item in items for time, frame in timed_frames(item)]
    assert len(whole) == 100
    assert 20 <= len(there) < 100
    assert any(item.damaged for item in items)
    assert sum(item.decoded_share for item in items) == pytest.approx(len(there) / 25, abs=1e-3)
    assert len({index for index, _ in there}) == len(there)
    for index, frame in there:
        assert np.abs(frame.astype(int) - whole[index]).mean() < 3


def test_packets_that_a_container_loses_are_noticed(tmp_path: Path) -> None:
    """Matroska passes over what it cannot read: no packet fails to decode, frames are missing all the same."""
    path = render(tmp_path / "a.mkv", pts=range(100), pictures=moving(100), size=(160, 90), options={"g": "20"})
    assert not any(item.damaged for item in decode(path) if isinstance(item, DecodedSegment))
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(8000) + content[middle + 8000 :])
    items = [item for item in decode(path) if isinstance(item, DecodedSegment)]
    assert items
    assert all(item.damaged for item in items)


def test_what_is_too_damaged_is_rejected(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", pts=range(50), pictures=moving(50), size=(160, 90), options={"g": "50"})
    flip(path, 0.7, 2000)
    segments = SegmentSettings(length_s=2.0)
    frames = FrameSettings(frames_per_second=25.0)
    (item,) = decode(path, segments=segments, frames=frames)
    assert isinstance(item, DecodedSegment)
    assert 0.1 < item.decoded_share < 0.9
    (reject,) = decode(path, segments=segments, frames=frames.model_copy(update={"min_decoded_share": 0.95}))
    assert isinstance(reject, SegmentReject)
    assert (reject.error.stage, reject.error.error_type) == ("decode", "Damaged")
    assert "min_decoded_share is 95%" in str(reject.error)


def test_a_source_that_ends_early_is_rejected_below_the_share(tmp_path: Path) -> None:
    path = render(tmp_path / "whole.mkv", pts=range(100), pictures=moving(100), size=(160, 90), options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert decode(path)
    with pytest.raises(MediaError, match="the source ends early"):
        decode(path, frames=FrameSettings(min_decoded_share=0.8))


@pytest.mark.parametrize("content", [b"", b"not a video", b"\0" * 5000, bytes(range(256)) * 40])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        decode(path)
    assert caught.value.stage == "probe"
    assert str(tmp_path) not in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(MediaError, match="no file"):
        read_timeline(Path("/nowhere/at/all.mp4"))


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{clip}'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        "<Period><BaseURL>{clip}</BaseURL></Period></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "1\n00:00:00,000 --> 00:00:02,000\n{clip}\n",
        "[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00.00,0:00:02.00,Default,,0,0,0,,{clip}\n",
        "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, clip: Path, playlist: str) -> None:
    shutil.copy(clip, tmp_path / "secret.mp4")
    path = tmp_path / "playlist.mp4"
    path.write_text(playlist.format(clip="secret.mp4"))
    with pytest.raises(MediaError):
        decode(path)


def test_audio_without_picture_is_refused(tmp_path: Path) -> None:
    from v2a_core.media.write import write_audio

    write_audio(tmp_path / "a.wav", tone(1.0), 48_000, as_it_comes("wav"))
    shutil.move(tmp_path / "a.wav", tmp_path / "a.mp4")
    with pytest.raises(MediaError):
        decode(tmp_path / "a.mp4")


def test_broken_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError, match="pixels cannot be read"):
        decode(path, kind="image")
    path.write_bytes(b"P6 nothing")
    with pytest.raises(MediaError, match="not a readable image"):
        decode(path, kind="image")


@pytest.mark.slow
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(MediaError) as caught:
        decode(path, kind="image")
    assert caught.value.error_type == "TooLarge"


def test_a_huge_video_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = render(tmp_path / "a.gif", codec="gif", pix_fmt="rgb8", pts=range(3), options={})
    content = bytearray(path.read_bytes())
    content[6:10] = (16_000).to_bytes(2, "little") * 2  # the logical screen
    path.write_bytes(content)
    with pytest.raises(MediaError, match="16000 x 16000") as caught:
        decode(path)
    assert caught.value.error_type == "TooLarge"


def test_a_broken_timestamp_does_not_stand_for_hours_of_segments(tmp_path: Path) -> None:
    path = render(tmp_path / "leap.mkv", pts=[*range(40), 25 * 7200, *[25 * 7200 + 1]])
    items = decode(path)
    assert len(items) == 2
    assert all(isinstance(item, DecodedSegment) and item.damaged for item in items)
    assert indices(items[0]) == [3, 9, 15, 21]


def test_a_disk_that_fails_is_no_damage_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = render(tmp_path / "a.mkv", pts=range(200), options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # as a decoder sees a read that fails
    assert all(item.damaged for item in decode(path) if isinstance(item, DecodedSegment))

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    reading = MagicMock()
    reading.return_value.__enter__.return_value.read.side_effect = fail
    monkeypatch.setattr(magic, "container_of", lambda *_: "matroska")
    monkeypatch.setattr(Path, "open", reading)
    with pytest.raises(MediaError, match="Input/output error") as caught:
        decode(path)
    assert (caught.value.stage, caught.value.error_type) == ("fetch", "OSError")


OTHER_STREAMS = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4112", "mpegts_service_id": "2"}


def in_turn(one: bytes, other: bytes, length: int = 188) -> bytes:
    """Packets of two transport streams in turn: two programmes."""
    pieces = [[part[start : start + length] for start in range(0, len(part), length)] for part in (one, other)]
    return b"".join(a + b for a, b in itertools.zip_longest(*pieces, fillvalue=b""))


@pytest.mark.parametrize("joined", ["glued", "glued, other streams", "two programmes"])
def test_two_films_in_a_transport_stream_are_the_first_and_its_share(tmp_path: Path, joined: str) -> None:
    first = render(tmp_path / "a.ts", pts=range(25), sound=tone(1.0))
    pictures = [picture(25 + index) for index in range(25)]
    second = render(tmp_path / "b.ts", pictures=pictures, pts=range(25), sound=tone(1.0, 800.0))
    path = tmp_path / "joined.ts"
    if joined == "glued":
        path.write_bytes(first.read_bytes() + second.read_bytes())
    else:
        moved = remux(second, tmp_path / "moved.ts", **OTHER_STREAMS)
        both = (first.read_bytes(), moved.read_bytes())
        path.write_bytes(in_turn(*both) if joined == "two programmes" else b"".join(both))
    (item,) = decode(path)
    assert isinstance(item, DecodedSegment)
    assert indices(item) == [3, 9, 15, 21]
    assert item.damaged
    assert item.decoded_share == pytest.approx(0.5, abs=0.01)
    timeline = read_timeline(path)
    assert timeline.duration_s == pytest.approx(1.0)
    assert timeline.lost_frames >= 25


def remux(path: Path, out: Path, **options: str) -> Path:
    with av.open(str(path)) as source, av.open(str(out), "w", format="mpegts", options=options) as target:
        copies = [target.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    return out
