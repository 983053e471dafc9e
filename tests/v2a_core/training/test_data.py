from __future__ import annotations

import helpers_embeddings as world
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.config import ConfigError
from v2a_core.mappers.aggregators import aggregate, epoch_seeds, together
from v2a_core.tables import arrays
from v2a_core.training.config import DataSettings
from v2a_core.training.data import TrainingData, load
from v2a_core.training.reading import read_manifest
from v2a_core.training.selection import LEFT_OUT, TRAIN, VALIDATION, assign, select


def read(folder: str, aggregator: str = "average", **settings) -> TrainingData:
    return load(select(folder, DataSettings(**settings)), world.SPACES, aggregator, 512)


def frames_of(lengths: list[int]) -> list[np.ndarray]:
    flat = np.random.default_rng(0).normal(size=(sum(lengths), 512)).astype(np.float16)
    return np.split(flat, np.cumsum(lengths)[:-1])


@pytest.mark.parametrize("aggregator", ["average", "middle"])
def test_aggregates_as_the_aggregator_does(tmp_path, aggregator):
    frames = frames_of([1, 2, 3, 7, 4, 1])
    rows = world.table(6, vision_frames=frames, split=["train"] * 4 + ["val"] * 2)
    data = read(world.write(tmp_path / "e", rows), aggregator)
    expected = aggregate(aggregator, *together(frames), np.zeros(6, np.uint64))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = torch.cat([data.train.condition_NV, data.validation.condition_NV]).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(data.train.target_NE.numpy(), world.vectors(6)[1][:4], atol=1e-6)


def test_random_draws_a_frame_of_the_row_each_epoch(tmp_path):
    frames = frames_of([1, 2, 9, 9])
    rows = world.table(4, vision_frames=frames, split=["train", "train", "train", "val"])
    train = read(world.write(tmp_path / "e", rows), "random").train
    units = [item / np.linalg.norm(item.astype(np.float32), axis=1, keepdims=True) for item in frames]
    drawn = []
    for epoch in range(20):
        train.begin_epoch(5, epoch)
        picks = [np.abs(units[row] - train.condition_NV[row].numpy()).max(axis=1) for row in range(3)]
        assert all(distance.min() < 1e-3 for distance in picks)
        drawn.append([int(distance.argmin()) for distance in picks])
    assert len({row[2] for row in drawn}) > 4
    train.begin_epoch(5, 3)
    assert int(np.abs(units[2] - train.condition_NV[2].numpy()).max(axis=1).argmin()) == drawn[3][2]


def test_only_the_newest_version_of_a_source_is_learnt(tmp_path):
    rows = world.table(
        4,
        source_key=["a", "b", "a", "c"],
        source_id=["first a", "b", "second a", "c"],
        recorded_at=pa.array([1, 1, 2, 2], pa.timestamp("us", "UTC")),
        split=["train"] * 3 + ["val"],
    )
    selection = select(world.write(tmp_path / "e", rows), DataSettings())
    assert selection.codes_N.tolist() == [LEFT_OUT, TRAIN, TRAIN, VALIDATION]
    assert selection.left_out["replaced since"] == 1


def test_leaves_out_and_counts(tmp_path):
    seen, heard = world.vectors(12)
    seen[4] = np.full_like(seen[4], np.nan)
    seen[5] = seen[5][:0]
    heard = list(heard)
    heard[6], heard[7], heard[8] = None, np.full(512, np.inf, np.float32), np.zeros(512, np.float32)
    rows = world.table(
        12,
        vision_frames=seen,
        clap_embedding=heard,
        status=["rejected"] + ["ok"] * 11,
        silent=[False, True, True] + [False] * 9,
        audio_rms_dbfs=[None, -120.0, -120.0, None] + [-20.0] * 8,
        split=["train"] * 10 + ["validation", "test"],
    )
    data = read(world.write(tmp_path / "e", rows, parts=3))
    assert data.left_out == {
        "beyond the limit": 0, "replaced since": 0, "rejected": 1,
        "no audio": 1, "silent": 2, "no embedding": 2, "not finite": 3,
    }  # fmt: skip
    assert data.counts == {"train": 1, "validation": 1, "test": 1}
    assert len(data.train) == len(data.validation) == 1
    np.testing.assert_allclose(data.train.target_NE[0].numpy(), world.vectors(12)[1][9], atol=1e-6)


@given(
    sources=st.lists(st.integers(0, 30), min_size=2, max_size=60),
    share=st.floats(0.01, 0.9),
    unusable=st.sets(st.integers(0, 59)),
)
def test_no_source_is_on_both_sides(sources, share, unusable):
    usable = np.array([row not in unusable for row in range(len(sources))])
    names = pa.array([f"s3://bucket/{source}.mp4" for source in sources])
    codes = assign(names, pa.nulls(len(sources), pa.string()), usable, DataSettings(validation_share=share))
    sides = [
        {source for source, code in zip(sources, codes, strict=True) if code == side} for side in (TRAIN, VALIDATION)
    ]
    assert not sides[0] & sides[1]
    assert ((codes == LEFT_OUT) == ~usable).all()
    if len({source for source, use in zip(sources, usable, strict=True) if use}) >= 2:
        assert all(sides)
    # The same in any order.
    again = assign(names[::-1], pa.nulls(len(sources), pa.string()), usable[::-1], DataSettings(validation_share=share))
    assert (again[::-1] == codes).all()


def test_hash_keeps_a_sources_side_when_others_are_added():
    def sides(count):
        names = pa.array([f"{number}.mp4" for number in range(count)])
        return assign(names, pa.nulls(count, pa.string()), np.ones(count, bool), DataSettings(validation_share=0.2))

    few, many = sides(300), sides(1000)
    assert (few == many[:300]).all()
    assert 0.15 < (many == VALIDATION).mean() < 0.25


def test_the_catalogs_splits_are_kept():
    splits = pa.array(["Train", "val", "test", None, "training", "dev"])
    codes = assign(pa.array(list("abcdef")), splits, np.ones(6, bool), DataSettings())
    assert codes.tolist() == [0, 1, 2, 0, 0, 1]


def test_without_a_validation_split_training_sources_are_held_out():
    splits = pa.array(["train"] * 40 + ["test"] * 10)
    codes = assign(pa.array([str(row) for row in range(50)]), splits, np.ones(50, bool), DataSettings())
    assert (codes[40:] == 2).all()
    assert set(codes[:40].tolist()) == {TRAIN, VALIDATION}


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"status": ["rejected"] * 4}, {}, "nothing usable .* 4 rejected"),
        ({"split": ["train", "train", "val", "blue"]}, {}, "unknown splits 'blue'; known: train"),
        ({}, {"splits": "catalog"}, "no row has a split"),
        ({"source_uri": ["one"] * 4}, {}, "at least two sources"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path, columns, settings, message):
    folder = world.write(tmp_path / "e", world.table(4, **columns))
    with pytest.raises(ConfigError, match=message):
        select(folder, DataSettings(**settings))


def test_limit_takes_the_first_sources(tmp_path):
    folder = world.write(tmp_path / "e", world.table(40, sources=20))
    selection = select(folder, DataSettings(), limit=5)
    assert sum(selection.counts().values()) == 10
    assert selection.left_out["beyond the limit"] == 30


def test_mixed_spaces_are_refused(tmp_path):
    rows = world.table(8)
    folder = world.write(tmp_path / "e", rows.replace_schema_metadata({"v2a.audio_space": "clap:another"}))
    with pytest.raises(ConfigError, match=r"mixed spaces.*clap:another.*clap\+sinc:fedc"):
        read(folder)


def test_the_manifest_is_needed_and_checked(tmp_path):
    folder = world.write(tmp_path / "unfinished", world.table(4), status="running")
    with pytest.raises(ConfigError, match="not finished"):
        read_manifest(folder, DataSettings())
    assert read_manifest(folder, DataSettings(allow_unfinished=True))["spaces"] == world.SPACES
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        read_manifest(str(tmp_path), DataSettings())
    with pytest.raises(ConfigError, match=r"no rows/part-\*\.parquet"):
        select(str(tmp_path), DataSettings())


def test_frames_of_another_encoder_have_their_own_width(tmp_path):
    seen = [frames[:, :24] for frames in world.vectors(4)[0]]
    folder = world.write(tmp_path / "e", world.table(4, vision_frames=seen, split=["train"] * 3 + ["val"]))
    assert select(folder, DataSettings()).vision_dim == 24
    data = read(folder)
    assert (data.train.condition_NV.shape, data.train.target_NE.shape) == ((3, 24), (3, 512))
    assert read(folder, "random").train.frames_FV.shape == (9, 24)


def test_frames_of_two_widths_are_refused(tmp_path):
    folder = world.write(tmp_path / "e", world.table(4), parts=1)
    narrow = world.table(4, vision_frames=[frames[:, :24] for frames in world.vectors(4)[0]])
    pq.write_table(narrow, tmp_path / "e" / "rows" / "part-00001.parquet")
    with pytest.raises(ConfigError, match=r"part-00001.parquet have 24 numbers, those of .*part-00000.parquet 512"):
        select(folder, DataSettings())


def test_embeddings_of_another_width_are_refused(tmp_path):
    heard = [vector[:256] for vector in world.vectors(4)[1]]
    rows = world.table(4)
    column = rows.schema.get_field_index("clap_embedding")
    folder = world.write(tmp_path / "e", rows.set_column(column, "clap_embedding", arrays.vectors(heard, 256)))
    with pytest.raises(ConfigError, match="audio embeddings have 256 numbers, not 512"):
        read(folder)


def test_a_drawn_frame_is_the_segments_own_wherever_its_row_stands(tmp_path):
    """By (seed, epoch, segment): in memory as in a stream, in any order and division into files."""
    from v2a_core.training.reading import read_part

    rows = world.table(40, vision_frames=frames_of([9] * 40), split=["train"] * 39 + ["val"])
    ahead = read(world.write(tmp_path / "a", rows, parts=2), "random").train
    backwards = rows.take([*range(38, -1, -1), 39])
    back = read(world.write(tmp_path / "b", backwards, parts=1), "random").train
    for pairs in (ahead, back):
        pairs.begin_epoch(5, 3)
    torch.testing.assert_close(ahead.condition_NV.flip(0), back.condition_NV)
    selection, streamed = select(str(tmp_path / "a"), DataSettings()), []
    for part in range(2):
        for chunk in read_part(selection, part, world.SPACES, 512):
            train = chunk.codes == TRAIN
            streamed.append(chunk.conditions(train, "random", epoch_seeds(chunk.keys[train], 5, 3)))
    units = torch.nn.functional.normalize(torch.from_numpy(np.concatenate(streamed)), dim=-1)
    torch.testing.assert_close(ahead.condition_NV, units)


def test_an_unknown_aggregator_is_refused_by_name(tmp_path):
    folder = world.write(tmp_path / "e", world.table(4, split=["train"] * 3 + ["val"]))
    with pytest.raises(ValueError, match="no aggregator 'median'; known: average, middle, random"):
        read(folder, "median")
