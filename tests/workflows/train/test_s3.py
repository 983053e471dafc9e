"""Training from S3 to S3: a real server on loopback, on a bad day."""

from __future__ import annotations

import json
from pathlib import Path

import helpers_embeddings as world
import helpers_s3
import numpy as np
import pytest
from helpers_s3 import FAULTS, misbehaving, reached
from helpers_training import PERCEPTRON, diverging

from v2a_core import storage
from v2a_core.config import load
from v2a_core.mappers import load_mapper
from v2a_core.storage import StorageAccess
from workflows.train import job as train
from workflows.train.config import TrainJob
from workflows.training import fit as train_fit

SETTINGS = (
    *PERCEPTRON,
    "training.epochs=3", "training.global_batch=64", "training.precision=fp32", "scaling.max_failures=0",
    "scaling.threads=1", "storage.region=us-east-1",
)  # fmt: skip
STEP_OF_EPOCH = 5


def job(endpoint: str) -> TrainJob:
    return load(TrainJob, job="train", overrides=[*SETTINGS, f"storage.endpoint={endpoint}"])


@pytest.fixture
def bucket(s3_server, tmp_path, reach):
    world.write(tmp_path / "seen" / "embeddings", world.table(300))
    helpers_s3.upload(s3_server, "lessons", tmp_path / "seen")
    reach(StorageAccess(reached(s3_server)))
    return "s3://lessons"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_a_bad_day_goes_on_from_its_checkpoint_in_the_bucket(
    ray_session, s3_server, bucket, tmp_path, monkeypatch, capfd, planted_secret
):
    undisturbed = train.run(str(tmp_path / "seen" / "embeddings"), str(tmp_path / "local"), job(s3_server))
    embeddings, output = f"{bucket}/embeddings", f"{bucket}/mapper"
    with misbehaving(s3_server, FAULTS, seed=5) as proxy:
        with monkeypatch.context() as patch:
            patch.setattr(train_fit, "train_worker", diverging(train_fit.train_worker))
            with pytest.raises(train_fit.TrainingStoppedError, match="not finite"):
                train.run(embeddings, output, job(proxy.url))
        summary = train.run(embeddings, output, job(proxy.url))
        again = train.run(embeddings, output, job(proxy.url))
        faults = proxy.did["slow_down"] + proxy.did["cut"] + proxy.did["cut upload"]
    assert faults > 0
    assert summary["continued_from"] == STEP_OF_EPOCH
    assert again == summary
    # The same weights, bit for bit, as without S3, faults and the stop.
    assert summary["fingerprint"] == undisturbed["fingerprint"]
    seen, _ = world.vectors(300)
    in_bucket, here = load_mapper(output), load_mapper(str(tmp_path / "local"))
    np.testing.assert_array_equal(in_bucket.map(seen, [0] * 300), here.map(seen, [0] * 300))
    metrics = storage.read_bytes(f"{output}/metrics.jsonl").decode().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == [5, 10, 15]
    fs, path = storage.filesystem(output)
    names = {Path(name).name for name in fs.find(path)}
    assert {"mapper.safetensors", "config.json", "README.md", "curves.png", "losses.jsonl"} <= names
    captured = capfd.readouterr()
    texts = [fs.cat_file(name).decode() for name in fs.find(path) if name.endswith((".json", ".jsonl", ".md"))]
    assert planted_secret not in "\n".join([captured.out, captured.err, *texts])
