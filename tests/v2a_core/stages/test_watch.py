"""Videos to embeddings: frames come from the guarded process, then they are seen; what cannot be read says so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from helpers_networks import seeded_film, seeded_weights

from v2a_core.catalog import Source
from v2a_core.media.config import GuardSettings
from v2a_core.media.encode import write_video
from v2a_core.media.sampled_frames import SampleRequest, sample
from v2a_core.metrics.extractors.imagebind_video import ImageBindVideo
from v2a_core.metrics.extractors.networks.imagebind import Sizes, VideoTower
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems.sets import sound_set, video_entry
from v2a_core.stages.watch import read_film, watch_films
from v2a_core.tables import features

SMALL = Sizes(16, 1, 2)
FPS = 4


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    shapes = {name: tuple(tensor.shape) for name, tensor in VideoTower(SMALL).state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "imagebind.pth"
    torch.save(seeded_weights(shapes), path)
    return ImageBindVideo(path, "cpu", SMALL)


def test_a_video_is_seen_for_as_long_as_is_heard_and_a_missing_one_is_told(extractor, tmp_path):
    path = tmp_path / "film.mp4"
    write_video(path, list(seeded_film(10 * FPS, 72, 96)), FPS)
    entries = [
        video_entry(name, name, Source(uri=str(tmp_path / name), name=name, kind="video"), "1", (0.0, 0.0))
        for name in ("film.mp4", "none.mp4")
    ]
    schema = features.with_film(features.feature_schema(ImageBindVideo.columns))
    for protocol, frames in ((PROTOCOLS["av-benchmark"], 4), (PROTOCOLS["paper"], 5)):
        rows = [
            read_film(item, GuardSettings(), protocol, ImageBindVideo) for item in sound_set(entries).table.to_pylist()
        ]
        found = watch_films(pa.Table.from_pylist(rows, schema=schema), extractor)
        assert "film" not in found.column_names
        by_name = {row["source_name"]: row for row in found.to_pylist()}
        seen, missing = by_name["film.mp4"], by_name["none.mp4"]
        assert (missing["status"], missing["embedding"]) == ("rejected", None)
        assert seen["duration_s"] == pytest.approx(protocol.length_s)
        film = list(sample(SampleRequest(path, 0.0, protocol.length_s, 2.0, 224)))[-1]
        assert film.frames_FHWC.shape == (frames, 224, 298, 3)
        (expected,) = VideoTower.embed(extractor._network, [film.frames_FHWC])["embedding"]
        np.testing.assert_allclose(seen["embedding"], expected, atol=1e-6)
