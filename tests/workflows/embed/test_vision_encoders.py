"""All jobs with an encoder whose embeddings are not as wide as CLAP's."""

from __future__ import annotations

import helpers_catalog
import helpers_models
import helpers_outputs
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from v2a_core.config import load
from v2a_core.mappers import load_mapper
from v2a_core.outputs.ledger import part_files
from v2a_core.verification import verify
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob
from workflows.train import job as train
from workflows.train.config import TrainJob

SAMPLING = ("segments.length_s=1.0", "segments.min_length_s=0.4", "output.interval_s=0", "limits.reject_grace=9")
GENERATE = (*SAMPLING, "generator.num_inference_steps=2")
TRAIN = (
    "mapper.network.kind=mlp", "mapper.network.width=64", "mapper.network.depth=1", "mapper.method.sampling.steps=4",
    "training.epochs=1", "scaling.cpus_per_worker=0.5", "scaling.threads=1",
)  # fmt: skip


@pytest.mark.slow
def test_blip_from_videos_to_soundtracks(ray_session, tmp_path):
    models = str(helpers_models.blip_bundle().vision.path.parents[1])
    for number in range(4):
        helpers_catalog.video(tmp_path / "catalog" / f"{number}.mp4", 1.4, hue=30 + 60 * number)
    helpers_catalog.corrupt(tmp_path / "catalog" / "broken.mp4")
    inputs, embeddings, mapper = [str(tmp_path / "catalog")], str(tmp_path / "embeddings"), str(tmp_path / "mapper")
    embed.run(inputs, embeddings, load(EmbedJob, job="embed", overrides=list(SAMPLING)), models=models)
    assert verify(embeddings).problems == []
    rows = [row for part in part_files(f"{embeddings}/rows") for row in pq.read_table(part).to_pylist()]
    assert {np.shape(row["vision_frames"])[1] for row in rows if row["status"] == "ok"} == {24}
    train.run(embeddings, mapper, load(TrainJob, job="train", overrides=list(TRAIN)))
    assert load_mapper(mapper).config.vision_dim == 24
    settings = load(GenerateJob, job="generate", overrides=list(GENERATE))
    for name, reused in (("soundtracks", None), ("reused", embeddings)):
        output = str(tmp_path / name)
        generate.run(inputs, output, settings, mapper=mapper, models=models, embeddings=reused)
        made = helpers_outputs.index_rows(output)
        assert sorted(row["status"] for row in made) == ["ok"] * 4 + ["rejected"]
        for row in made:
            if row["status"] == "ok":
                assert np.abs(soundfile.read(row["audio_path"])[0]).max() > 0.01


@pytest.mark.slow
def test_without_a_mapper_zeros_fill_up_a_narrow_embedding_and_the_output_says_so(ray_session, tmp_path):
    helpers_catalog.video(tmp_path / "one.mp4", 1.0)
    models, output = str(helpers_models.blip_bundle().vision.path.parents[1]), str(tmp_path / "out")
    settings = load(GenerateJob, job="generate", overrides=list(GENERATE))
    generate.run([str(tmp_path / "one.mp4")], output, settings, mapper="none", models=models)
    (row,) = helpers_outputs.index_rows(output)
    assert (row["status"], row["mapper"]) == ("ok", "none, 24 numbers and zeros")
    assert np.abs(soundfile.read(row["audio_path"])[0]).max() > 0.01
