"""S3 on its worst days: every key fails in a way of its own; what fails waits, the rest is done, nothing is lost."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import helpers_attacks
import helpers_catalog
import helpers_s3
import pyarrow.parquet as pq
import pytest
from helpers_s3_faults import KeyProxy, failing_keys
from helpers_trouble import after_listing

from v2a_core import storage
from v2a_core.storage import StorageAccess
from v2a_core.verification import verify

GETS = (
    "denied", "expired", "internal", "slow_down", "page", "gone", "reset", "cut_body", "too_short", "too_long",
    "no_http", "stalled", "redirected",
)  # fmt: skip
FAST = ("storage.attempts=2", "storage.timeout_s=2", "storage.region=us-east-1", "decoder.time_limit_s=60")


@pytest.fixture(scope="module")
def proxy(s3_server: str) -> Iterator[KeyProxy]:
    with failing_keys(s3_server) as proxy:
        yield proxy


def rows(client: Any, bucket: str, prefix: str) -> dict[str, str]:
    """Status by name, of the Parquet files below a prefix."""
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    found: dict[str, str] = {}
    for entry in listed:
        if entry["Key"].endswith(".parquet"):
            content = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            for row in pq.read_table(io.BytesIO(content)).to_pylist():
                assert row["source_name"] not in found
                found[row["source_name"]] = row["status"]
    return found


@pytest.fixture(scope="module")
def days(
    ray_session: None, s3_server: str, proxy: KeyProxy, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A day on which GET of every key but one fails after the listing, and the day after."""
    folder = tmp_path_factory.mktemp("s3")
    for index, name in enumerate(["good", *GETS]):
        helpers_catalog.video(folder / "clips" / f"{name}.mp4", 1.0, hue=15 * index)
    helpers_s3.upload(s3_server, "worst-day", folder)
    client = helpers_s3.client(s3_server)
    failing = {f"clips/{name}.mp4": ("GET", name) for name in GETS}
    settings = [*FAST, f"storage.endpoint={proxy.url}"]
    with pytest.MonkeyPatch.context() as patch:
        after_listing(patch, lambda: proxy.failing.update(failing))
        first = helpers_attacks.embed(["s3://worst-day/clips"], "s3://worst-day/out", *settings)
    done, waits = rows(client, "worst-day", "out/rows"), rows(client, "worst-day", "out/unfinished")
    did = dict(proxy.did)
    proxy.failing.clear()
    second = helpers_attacks.embed(["s3://worst-day/clips"], "s3://worst-day/out", *settings)
    after = {"rows": rows(client, "worst-day", "out/rows"), "waits": rows(client, "worst-day", "out/unfinished")}
    return {"codes": (first, second), "done": done, "waits": waits, "did": did, "after": after}


def test_the_two_days(days: dict[str, Any]) -> None:
    """Every GET of 13 keys fails after the listing: exit 1 and the rest is done; the day after, exit 0"""
    assert days["codes"] == (1, 0)
    assert days["done"]["good.mp4"] == "ok"
    assert days["after"]["waits"] == {}


@pytest.mark.parametrize("fault", GETS)
def test_get(days: dict[str, Any], fault: str) -> None:
    """GET of a key that is, or gives"""
    assert days["did"].get(fault), "the fault was not met"
    assert days["done"].get(f"{fault}.mp4") != "rejected"
    assert f"{fault}.mp4" in days["waits"]
    assert days["after"]["rows"][f"{fault}.mp4"] == "ok"


@pytest.mark.parametrize("fault", ["denied", "internal", "slow_down", "reset", "expired"])
@pytest.mark.parametrize("job", ["embed", "generate"])
def test_put(
    ray_session: None,
    s3_server: str,
    proxy: KeyProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    job: str,
    fault: str,
) -> None:
    """PUT into the output fails after the listing: exit 1 with a sentence; later the same command does all of it"""
    if job == "generate" and fault not in ("denied", "reset"):
        pytest.skip("generate writes as embed does")
    for index in range(2):
        helpers_catalog.video(tmp_path / "clips" / f"{index}.mp4", 1.0, hue=80 * index)
    bucket = f"put-{job}-{fault.replace('_', '-')}"
    helpers_s3.upload(s3_server, bucket, tmp_path)
    settings = [*FAST, f"storage.endpoint={proxy.url}"]
    catalog, output = [f"s3://{bucket}/clips"], f"s3://{bucket}/out"
    mapper = helpers_attacks.small_mapper(tmp_path / "mapper") if job == "generate" else ""

    def go() -> int:
        if job == "embed":
            return helpers_attacks.embed(catalog, output, *settings)
        return helpers_attacks.generate(catalog, output, mapper, *settings)

    place = "/out/rows" if job == "embed" else "/out/audio"
    after_listing(monkeypatch, lambda: proxy.failing.update({place: ("PUT", fault)}))
    assert go() == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "AKIA" not in told
    proxy.failing.clear()
    assert go() == 0
    found = rows(helpers_s3.client(s3_server), bucket, "out/rows" if job == "embed" else "out/index")
    assert found == {"0.mp4": "ok", "1.mp4": "ok"}
    monkeypatch.undo()
    with storage.reach(StorageAccess(helpers_s3.reached(s3_server))):
        assert not verify(output).problems


@pytest.mark.parametrize(
    ("catalog", "output"),
    [("s3://no-such-bucket/clips", "s3://there/out"), ("s3://there/clips", "s3://no-such-bucket/out"),
     ("s3://there/nothing-here", "s3://there/out"), ("s3://", "s3://there/out"), ("s3://Bad_Bucket!/x", "s3://there/out")],
)  # fmt: skip
def test_missing_buckets(
    s3_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], catalog: str, output: str
) -> None:
    """a bucket or prefix that is not there: exit 2 in seconds, naming it"""
    helpers_catalog.still(tmp_path / "clips" / "a.png")
    with contextlib.suppress(botocore.exceptions.ClientError):  # made by the case before
        helpers_s3.upload(s3_server, "there", tmp_path)
    assert helpers_attacks.embed([catalog], output, *FAST, f"storage.endpoint={s3_server}") == 2
    assert "s3://" in capsys.readouterr().err


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid", "http://256.1.1.1"])
def test_no_server(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """an endpoint where nobody answers: exit 2 in seconds"""
    assert helpers_attacks.embed(["s3://a/b"], "s3://a/c", *FAST, f"storage.endpoint={endpoint}") == 2
    assert endpoint.partition("//")[2].partition(":")[0] in capsys.readouterr().err


def test_a_key_that_is_a_folder_and_a_file(ray_session: None, s3_server: str, tmp_path: Path) -> None:
    """Keys that end with a slash, are empty, or are a file and a folder at once"""
    helpers_catalog.video(tmp_path / "clips" / "a.mp4", 1.0)
    helpers_s3.upload(s3_server, "odd-keys", tmp_path)
    client = helpers_s3.client(s3_server)
    content = (tmp_path / "clips" / "a.mp4").read_bytes()
    for key in ("clips/a.mp4/b.mp4", "clips//double.mp4", "clips/../up.mp4", "clips/ü%20+&.mp4"):
        client.put_object(Bucket="odd-keys", Key=key, Body=content)
    client.put_object(Bucket="odd-keys", Key="clips/folder/", Body=b"")
    client.put_object(Bucket="odd-keys", Key="clips/empty.mp4", Body=b"")
    code = helpers_attacks.embed(["s3://odd-keys/clips"], tmp_path / "out", *FAST, f"storage.endpoint={s3_server}")
    assert code in (0, 1)
    found = helpers_attacks.by_name(helpers_attacks.rows(tmp_path / "out"))
    assert {row["status"] for row in found["a.mp4"]} == {"ok"}
    assert {row["status"] for row in found["ü%20+&.mp4"]} == {"ok"}
    assert {row["status"] for row in found["empty.mp4"]} == {"rejected"}
