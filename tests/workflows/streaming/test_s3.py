"""Whole jobs on S3: a real server on loopback, on a bad day."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import helpers_catalog
import helpers_s3
import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from helpers_s3 import FAULTS, misbehaving, reached

from v2a_core import storage
from v2a_core.config import load
from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import part_files
from v2a_core.storage import StorageAccess
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

SETTINGS = (
    "segments.length_s=1.0", "frames.frames_per_second=2.0", "encoders.precision=fp32", "storage.region=us-east-1",
    "output.interval_s=1", "pools.sources_per_block=2",
)  # fmt: skip
SOUND = ("frames.image_segment_s=1.0", "generator.num_inference_steps=2", "generator.precision=fp32")


@pytest.fixture
def access(s3_server):
    return StorageAccess(reached(s3_server))


def embed_job(endpoint):
    return load(EmbedJob, job="embed", overrides=[*SETTINGS, f"storage.endpoint={endpoint}"])


def generate_job(endpoint):
    return load(GenerateJob, job="generate", overrides=[*SETTINGS, *SOUND, f"storage.endpoint={endpoint}"])


def fill(s3_server, bucket, folder, count):
    for index in range(count):
        helpers_catalog.video(folder / "clips" / f"{index} ü%.mp4", 2.5, hue=40 * index, tone_hz=200 + 60 * index)
    helpers_s3.upload(s3_server, bucket, folder)


def rows(output, access) -> dict[str, dict]:
    with storage.reach(access):
        read = []
        for part in part_files(f"{output}/rows"):
            with storage.open_read(part) as file:
                read += pq.read_table(file).to_pylist()
        assert len({row["segment_id"] for row in read}) == len(read)
        return {row["segment_id"]: row for row in read}


def assert_equal_rows(got, want):
    assert got.keys() == want.keys()
    for identity, row in want.items():
        assert (got[identity]["status"], got[identity]["source_uri"]) == ("ok", row["source_uri"])
        for name in ("clap_embedding", "vision_frames"):
            np.testing.assert_allclose(got[identity][name], row[name], atol=2e-3)


def everything_written(bucket, access) -> str:
    """All text that a job has left: JSON in the bucket, and the logs of Ray."""
    with storage.reach(access):
        fs, path = storage.filesystem(f"s3://{bucket}")
        texts = [fs.cat_file(name).decode() for name in fs.find(path) if name.endswith(".json")]
        logs = Path(ray._private.worker._global_node.get_logs_dir_path())
        texts += [file.read_text(errors="replace") for file in logs.rglob("*") if file.is_file()]
        return "\n".join(texts)


def check_bad_day(s3_server, access, bucket, folder, count, capfd, secret, mapper=None):
    fill(s3_server, bucket, folder, count)
    clips, clean, faulty = (f"s3://{bucket}/{name}" for name in ("clips", "clean", "faulty"))
    embed.run([clips], clean, embed_job(s3_server), models="miniature")
    # A small catalog makes few requests: with this seed some of the first ones fail, not only the later ones.
    with misbehaving(s3_server, FAULTS, seed=2559) as proxy:
        summary = embed.run([clips], faulty, embed_job(proxy.url), models="miniature")
        faults = proxy.did["slow_down"] + proxy.did["cut"] + proxy.did["cut upload"]
        again = embed.run([clips], faulty, embed_job(proxy.url), models="miniature")
        if mapper:
            made = generate.run(
                [clips], f"s3://{bucket}/made", generate_job(proxy.url), mapper=mapper, models="miniature"
            )
            assert (made["counts"]["rows_done_now"], made["counts"]["sources_rejected"]) == (count, 0)
    want = rows(clean, access)
    assert len(want) == 2 * count  # the last half second is too short for a segment of its own
    assert_equal_rows(rows(faulty, access), want)
    assert again["counts"]["sources_done_now"] == 0
    # The summary and the manifest are written after the count.
    assert 0 < summary["storage"]["retries"] <= faults
    assert summary["storage"]["bytes_read"] > 1000 * count
    with storage.reach(access):
        assert json.loads(storage.read_bytes(f"{faulty}/summary.json"))["storage"] == again["storage"]
    captured = capfd.readouterr()
    assert secret not in everything_written(bucket, access) + captured.out + captured.err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bad_day_changes_no_row_and_shows_no_secret(ray_session, s3_server, access, tmp_path, capfd, planted_secret):
    check_bad_day(s3_server, access, "bad-day", tmp_path / "catalog", 3, capfd, planted_secret)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_bad_day_with_a_larger_catalog(ray_session, s3_server, access, tmp_path, capfd, planted_secret):
    mapper = helpers_catalog.random_mapper(tmp_path / "mapper", load_bundle("miniature").resolve())
    check_bad_day(s3_server, access, "bad-week", tmp_path / "catalog", 30, capfd, planted_secret, mapper)
    with storage.reach(access):
        files = {uri.rsplit(".", 1)[-1] for uri in storage.filesystem("s3://bad-week")[0].find("bad-week/made")}
    assert {"wav", "mp4", "parquet", "json"} <= files


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_jobs_of_one_process_reach_each_their_own_store(ray_session, s3_server, tmp_path):
    """At once, with workers that Ray may use for both."""
    with helpers_s3.serve_s3_apart() as other, ThreadPoolExecutor(2) as threads:
        for count, endpoint in ((1, s3_server), (2, other)):
            fill(endpoint, "one-name", tmp_path / str(count), count)

        def run(endpoint):
            output = "s3://one-name/out"
            summary = embed.run(["s3://one-name/clips"], output, embed_job(endpoint), models="miniature")
            with storage.reach(StorageAccess(reached(endpoint))):
                kept = storage.read_json(f"{output}/summary.json")
            return summary["counts"]["sources_done_now"], kept["counts"]["rows_done_now"]

        assert list(threads.map(run, (s3_server, other))) == [(1, 2), (2, 4)]
    assert storage.in_use() == StorageAccess()
