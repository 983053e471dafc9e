"""Ids are put together from text that is made once; they are those of the values as JSON."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from v2a_core.catalog import Source, source_id, source_key
from v2a_core.catalog.collector import Collector
from v2a_core.compute.ids import unpack
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.segments import digest
from v2a_core.storage.public import public

TIMES = st.none() | st.floats(0, 1e8)


@given(st.text(max_size=50), st.text(max_size=50), TIMES, TIMES, st.floats(2.0, 20.0))
def test_an_id_is_the_digest_of_what_it_stands_for(
    uri: str, version: str, start_s: float | None, duration_s: float | None, length_s: float
) -> None:
    source = Source(uri, "name", "video", version, 1, start_s, duration_s)
    segments, frames = SegmentSettings(length_s=length_s), FrameSettings()
    span = tuple(None if seconds is None else round(seconds * 1e6) for seconds in (start_s, duration_s))
    sampling = segments.model_dump_json(), frames.seen.model_dump_json()
    expected = digest(public(uri), version, span, *sampling)
    assert source_id(source, segments, frames) == expected
    assert source_key(source) == digest(public(uri), span)
    collector = Collector()
    collector.add(source)
    listed = collector.build()
    assert unpack(listed.ids(segments, frames)) == [expected]
    assert unpack(listed.keys) == [source_key(source)]


def test_ids_stay_as_they_were() -> None:
    """What earlier versions of the program have written is found again."""
    source = Source("s3://b/ü.mp4", "ü.mp4", "video", "3-x", 3, 1.5, None)
    assert source_id(source, SegmentSettings(), FrameSettings()) == "137342ed6c2da6464412903c542fbbb7"
    assert source_key(source) == "64c397f0cbf183d1b4d2fad9c5df137f"
