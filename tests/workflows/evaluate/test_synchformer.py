"""DeSync: videos are seen once, sounds are heard with what was seen; what cannot be compared says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from helpers_evaluate import job
from helpers_networks import blank_weights, seeded_film, seeded_sounds, seeded_weights

from v2a_core.catalog import Source
from v2a_core.media.config import GuardSettings
from v2a_core.media.encode import write_video
from v2a_core.media.sampled_frames import SampleRequest, sample
from v2a_core.media.write import read_pcm
from v2a_core.metrics.desync import OFFSETS, offset_grid
from v2a_core.metrics.extractors.networks.synchformer import Ears, Eyes, Sizes
from v2a_core.metrics.extractors.synchformer import SynchformerExtractor
from v2a_core.metrics.extractors.synchformer_video import SynchformerVideo
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems.sets import file_entry, paired, sound_set, video_entry
from v2a_core.models.digests import sha256
from v2a_core.models.unset import UnsetWeights
from v2a_core.outputs.ledger import places_of
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.stages.pairs import hear_pairs
from v2a_core.stages.watch import read_film, watch_films
from v2a_core.tables import features
from v2a_core.verification import verify
from workflows.evaluate import systems
from workflows.evaluate.reading import PLACE, ReadPairs

SMALL = Sizes(24, 1, 2, 1, 2)
PROTOCOL = PROTOCOLS["av-benchmark"]
FPS = 25


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Both extractors of a small network."""
    shapes = {name: tuple(tensor.shape) for kind in (Eyes, Ears) for name, tensor in kind(SMALL).state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "synchformer.pth"
    torch.save(seeded_weights(shapes), path)
    return SynchformerVideo(path, "cpu", SMALL), SynchformerExtractor(path, "cpu", SMALL)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Sounds of a system, and videos: a whole one, one of two seconds, one that is none."""
    root = tmp_path_factory.mktemp("pairs")
    for folder in ("ours", "videos"):
        (root / folder).mkdir()
    for key, sound in zip(("whole", "short", "broken"), seeded_sounds([5.2] * 3), strict=True):
        soundfile.write(root / "ours" / f"{key}.wav", sound + np.float32(0.1), 16_000, "FLOAT")
        film = seeded_film(5 * FPS if key == "whole" else 2 * FPS, 48, 64)
        write_video(root / "videos" / f"{key}.mp4", list(film), FPS, sound, 16_000)
    (root / "videos" / "broken.mp4").write_bytes(b"no video")
    return root


def entries(places):
    """What is paired: sounds of a system, and the videos."""
    made = {path.stem: path for path in sorted((places / "ours").iterdir())}
    sounds = [file_entry(key, key, str(path), sha256(path)) for key, path in made.items()]
    sounds.append(file_entry("alone", "alone", sounds[0]["uri"], sounds[0]["content"], (0.0, 1.0)))
    videos = [
        video_entry(path.stem, path.stem, Source(uri=str(path), name=path.name, kind="video"), path.stem, (0.0, 0.0))
        for path in sorted((places / "videos").iterdir())
    ]
    return sound_set(sounds), sound_set(videos)


def see(videos, folder, extractor) -> None:
    """Their rows, as the job writes them: a row group each."""
    schema = features.with_film(features.feature_schema(SynchformerVideo.columns))
    films = [read_film(item, GuardSettings(), PROTOCOL, SynchformerVideo) for item in videos.table.to_pylist()]
    for film in films:
        found = watch_films(pa.Table.from_pylist([film], schema=schema), extractor)
        writer = PartWriter(
            str(folder), features.feature_schema(SynchformerVideo.columns), id_column="segment_id", seen=set(),
            settings=PartSettings(), metadata={},
        )  # fmt: skip
        writer.add(found)
        writer.flush()


def test_a_sound_is_heard_with_what_was_seen_and_what_is_too_short_or_broken_says_so(halves, places, tmp_path):
    eyes, ears = halves
    sounds, videos = entries(places)
    see(videos, tmp_path / "rows", eyes)
    pairs = paired(sounds, videos)
    assert sorted(pairs.table["key"].to_pylist()) == ["broken", "short", "whole"]  # the one alone has no video
    where = places_of(str(tmp_path / "rows"), "segment_id")
    items = pairs.table.select(features.PAIRS.names)
    for field, values in zip(PLACE, zip(*[where[video] for video in items["video_id"].to_pylist()], strict=True),
                             strict=True):  # fmt: skip
        items = items.append_column(field, pa.array(values, field.type))
    schema = features.with_pair(features.feature_schema(SynchformerExtractor.columns))
    read = pa.concat_tables(list(ReadPairs(GuardSettings(), "segments", schema)(items)))
    found = hear_pairs(read, ears, PROTOCOL)
    assert {"sound", "seen"}.isdisjoint(found.column_names)
    by_name = {row["source_name"]: row for row in found.to_pylist()}
    assert {row["segment_id"] for row in by_name.values()} == set(pairs.members())
    whole, short, broken = (by_name[f"{key}.wav"] for key in ("whole", "short", "broken"))
    # It is no fault of a file, which would count against the limit of rejects.
    assert (short["status"], short["first_logits"], short["last_logits"]) == ("ok", None, None)
    assert broken["status"] == "rejected"
    assert broken["reject_message"].startswith("its video: ")
    film = list(sample(SampleRequest(places / "videos" / "whole.mp4", 0.0, 8.0, 1 / FPS, 224, square=True)))[-1]
    assert film.frames_FHWC.shape == (5 * FPS, 224, 224, 3)
    heard = read_pcm(places / "ours" / "whole.wav").samples_TC[:, 0]  # its mean value is left in
    (expected,) = ears._network.compare([heard], eyes._network.see([film.frames_FHWC]))
    for name, logits in zip(("first_logits", "last_logits"), expected, strict=True):
        np.testing.assert_allclose(whole[name], logits, atol=1e-5)


def test_only_the_square_in_the_middle_is_seen(places):
    request = SampleRequest(places / "videos" / "whole.mp4", 0.0, 0.1, 1 / FPS, 24)
    wide, square = (list(sample(asked))[-1].frames_FHWC for asked in (request, replace(request, square=True)))
    assert wide.shape == (2, 24, 32, 3)
    np.testing.assert_array_equal(square, wide[:, :, 4:28])


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_whole_job_tells_the_offset_of_a_network_of_the_published_size(ray_session, places, tmp_path):
    """Its weights, a few kilobytes in a file, are such that every pair has the offset -1.4 s."""
    with torch.device("meta"), UnsetWeights():
        names = {name: tensor for kind in (Eyes, Ears) for name, tensor in kind(Sizes()).state_dict().items()}
    certain = torch.nn.functional.one_hot(torch.tensor(3), OFFSETS).float()
    torch.save(blank_weights(names) | {"transformer.off_head.bias": certain}, tmp_path / "synchformer.pth")
    settings = job(f"extractors.synchformer.weights={tmp_path / 'synchformer.pth'}", "protocol=av-benchmark")
    output = str(tmp_path / "out")
    content = systems.run({"ours": str(places / "ours")}, str(places / "videos"), output, settings, models="miniature")
    found = content["systems"]["ours"]["desync"]
    assert found["value"] == pytest.approx(abs(offset_grid()[3])) == pytest.approx(1.4)
    assert found["beside"] == {"guessing": pytest.approx(1.0476, abs=1e-4), "references": pytest.approx(1.4)}
    assert (found["count"], found["protocol"]["centred"]) == (1, False)
    assert content["not_heard"]["ours"]["synchformer"]["TooShort"] == 1
    report = verify(output)
    assert report.problems == []
    assert sum("synchformer" in inside.output for inside in report.inside) == 3
    wavs = systems.run({"ours": str(places / "ours")}, str(places / "ours"), str(tmp_path / "wavs"), settings,
                       models="miniature")  # fmt: skip
    assert "give --references that are videos" in wavs["systems"]["ours"]["desync"]["not_measured"]
    assert wavs["not_heard"]["ours"]["synchformer"] == {"NoVideo": 3}
    assert verify(str(tmp_path / "wavs")).problems == []
