"""From a source to its rows and its files, without Ray: what one bad thing costs."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from helpers_media import picture, render, tone

from v2a_core.catalog import Source
from v2a_core.media import guard
from v2a_core.media.child import DecoderProcess
from v2a_core.media.config import FinishSettings, FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.types import MediaSpec
from v2a_core.outputs.manifest import FILE_NAME
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.stages.finish import FinishJob, finish_row
from v2a_core.tables import rows

GUARD = GuardSettings(time_limit_s=5.0, attempts=1, confine=False)
MARKS = {"ai_generated": True, "program": "v2a", "bundle": "miniature", "mapper": "none"}


def planted(**orders: object) -> str:
    return json.dumps({name.removeprefix("s"): order for name, order in orders.items()})


def decoded(path: Path) -> list[tuple[int, str, str | None]]:
    settings = DecodeSettings(
        SegmentSettings(length_s=1.0), FrameSettings(), GUARD, MediaSpec(), True, decoder="planted_decoders:decode"
    )
    made = decode_rows(Source(str(path), path.name, "video"), "source", [], settings)
    return [(row["segment_index"], row["status"], row.get("reject_type")) for row in made]


def test_a_decoder_that_cannot_go_on_costs_the_segments_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text(planted(length_s=4, s1="crash"))
    assert decoded(path) == [(0, "ok", None), (1, "rejected", "DecoderCrashed"), (2, "ok", None), (3, "ok", None)]

    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "no more processes")

    path.write_text(planted(length_s=4, s1="crash"))
    monkeypatch.setattr(guard, "DecoderProcess", refuse_after_first(refuse))
    guard.shared_decoder(GUARD, "planted_decoders:decode").close()
    assert decoded(path) == [
        (0, "ok", None),
        (1, "rejected", "DecoderCrashed"),
        (2, "rejected", "BlockingIOError"),
        (3, "rejected", "BlockingIOError"),
    ]


def refuse_after_first(refuse: object) -> object:
    started: list[int] = []

    def start(*arguments: object) -> object:
        started.append(1)
        return DecoderProcess(*arguments) if len(started) == 1 else refuse(*arguments)  # type: ignore[arg-type,operator]

    return start


def finished(path: Path, output: Path, seconds: float = 2.0) -> dict[str, object]:
    output.mkdir(exist_ok=True)
    (output / FILE_NAME).touch()
    job = FinishJob(str(output), FinishSettings(), MARKS, 0, GuardSettings(attempts=1, time_limit_s=20.0))
    row = {
        "status": "ok",
        "source": rows.pack_source(Source(str(path), path.name, "video")),
        "source_name": path.name,
        "source_id": "0123456789abcdef",
        "waveform": tone(seconds, rate=16_000).tobytes(),
        "sample_rate_hz": 16_000,
        "losers": None,
    }
    return finish_row(row, job)


def test_a_gif_leaves_as_an_mp4_with_sound(tmp_path: Path) -> None:
    pictures = [picture(7 * index) for index in range(8)]
    path = render(tmp_path / "a.gif", codec="gif", pix_fmt="rgb8", options={}, pts=range(8), fps=4, pictures=pictures)
    row = finished(path, tmp_path / "output")
    assert row["status"] == "ok"
    (muxed,) = (tmp_path / "output" / "video").rglob("*.mp4")
    with av.open(str(muxed)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert len(list(container.decode(video=0))) == 8


def test_a_video_that_cannot_be_muxed_costs_its_row(tmp_path: Path) -> None:
    bomb = render(tmp_path / "bomb.mkv", pts=range(0, 599 * 400, 599), fps=1, options={})
    row = finished(bomb, tmp_path / "output")
    assert (row["status"], row["reject_stage"], row["reject_type"]) == ("rejected", "mux", "TooLong")
    playlist = tmp_path / "clip.mp4"
    playlist.write_text("#EXTM3U\n")
    row = finished(playlist, tmp_path / "output")
    assert (row["status"], row["reject_stage"], row["reject_type"]) == ("rejected", "mux", "UnknownFormat")
    assert list((tmp_path / "output").rglob("*.m*")) == []
