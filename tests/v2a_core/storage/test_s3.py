"""Storage against a real S3 server on loopback, well-behaved and not."""

from __future__ import annotations

import time

import helpers_s3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers_s3 import FAULTS, Faults, misbehaving, reached

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.config import ConfigError
from v2a_core.outputs import ledger
from v2a_core.storage import StorageAccess, retrying, s3
from v2a_core.storage.config import StorageSettings
from v2a_core.storage.preflight import check_storage


@pytest.fixture(scope="module")
def bucket(s3_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket")
    for index in range(12):
        (folder / f"videos/{index:02d}.mp4").parent.mkdir(exist_ok=True)
        (folder / f"videos/{index:02d}.mp4").write_bytes(bytes([index]) * 20_000)
    pq.write_table(pa.table({"source_id": [f"id{index}" for index in range(1000)]}), folder / "part-1.parquet")
    helpers_s3.upload(s3_server, "storage-test", folder)
    return "s3://storage-test"


@pytest.fixture(autouse=True)
def _put_back():
    yield
    s3._filesystem.cache_clear()


@pytest.fixture
def use(reach):
    def reach_server(endpoint, **more):
        access = StorageAccess(reached(endpoint, **more))
        reach(access)
        return access

    return reach_server


def test_the_store_works_like_a_folder(s3_server, bucket, use):
    use(s3_server)
    uri = f"{bucket}/new/a b%20ü[1].json"
    storage.write_json(uri, {"a": 1})
    assert storage.read_json(uri) == {"a": 1}
    assert storage.list_files(f"{bucket}/new") == [uri]
    storage.remove(uri)
    assert not storage.exists(uri)
    with storage.open_read(f"{bucket}/part-1.parquet") as file:
        assert pq.read_table(file).num_rows == 1000
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{bucket}/none")


def test_faults_cost_retries_and_nothing_else(s3_server, bucket, tmp_path, monkeypatch, use):
    monkeypatch.setattr(retrying, "_FIRST_WAIT_S", 0.01)
    with misbehaving(s3_server, Faults(slow_down=0.1, cut=0.1), seed=1) as proxy:
        use(proxy.url)
        before = retrying.traffic()
        listed = list_sources([f"{bucket}/videos"], CatalogSettings()).sources
        assert len(listed) == 12
        for index, source in enumerate(listed):
            with source.fetch() as path:
                assert path.read_bytes() == bytes([index]) * 20_000
            storage.write_bytes(f"{bucket}/copies/{index}", path.name.encode() * 500)
        assert len(storage.list_files(f"{bucket}/copies")) == 12
        assert ledger.read_columns(bucket, ["source_id"]).num_rows == 1000
        moved = retrying.traffic().since(before)
    did = proxy.did
    assert min(did["slow_down"], did["cut"], did["cut upload"]) > 0
    # A kept connection that is closed under an upload is opened again by aiohttp, without a word.
    assert 0 <= moved.retries - did["slow_down"] - did["cut"] <= did["cut upload"]
    assert moved.bytes_read >= 12 * 20_000


def test_attempts_are_bounded(s3_server, bucket, use):
    with misbehaving(s3_server, Faults(slow_down=1.0)) as proxy:
        use(proxy.url, attempts=3)
        with pytest.raises(OSError, match="Service Unavailable"):
            storage.read_bytes(f"{bucket}/videos/00.mp4")
        assert proxy.did["requests"] == 3


def test_settings_can_differ_by_place(s3_server, bucket, reach):
    nowhere = StorageSettings(endpoint="http://127.0.0.1:9", attempts=1)
    reach(StorageAccess(nowhere, ((f"{bucket}/videos", reached(s3_server)),)))
    assert storage.exists(f"{bucket}/videos/00.mp4")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
        storage.exists(f"{bucket}/videos2/00.mp4")


@pytest.mark.parametrize(
    ("method", "part", "action"),
    [("GET", "list-type", "list"), ("PUT", "/.probe", "write"), ("GET", "/.probe", "read"), ("DELETE", "", "delete")],
)
def test_preflight_names_what_is_denied(s3_server, bucket, method, part, action, use):
    with misbehaving(s3_server, Faults(denied=((method, part),))) as proxy:
        access = use(proxy.url)
        started = time.monotonic()
        with pytest.raises(ConfigError, match=f"{action} is denied at s3://storage-test"):
            check_storage([], f"{bucket}/out", access)
        assert time.monotonic() - started < 20


def test_preflight_of_inputs(s3_server, bucket, use):
    denied = pytest.raises(ConfigError, match=r"read is denied at s3://storage-test/videos/00\.mp4")
    with misbehaving(s3_server, Faults(denied=(("GET", "00.mp4"),))) as proxy, denied:
        check_storage([f"{bucket}/videos/*.mp4"], f"{bucket}/out", use(proxy.url))
    checked = check_storage([f"{bucket}/videos", "/a/local/folder"], f"{bucket}/out", use(s3_server))
    assert checked["inputs"] == [f"list and read work: {bucket}/videos"]
    with pytest.raises(ConfigError, match="no-such-bucket"):
        check_storage(["s3://no-such-bucket/x"], f"{bucket}/out", use(s3_server))


def test_a_wrong_address_is_told_in_seconds(bucket, use):
    access = use("http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"list is not possible.*127\.0\.0\.1:9"):
        check_storage([], f"{bucket}/out", access)


def test_missing_credentials_and_profiles_are_configuration_errors(s3_server, bucket, monkeypatch, tmp_path, use):
    with pytest.raises(ConfigError, match=r"profile .*nobody"):
        check_storage([], f"{bucket}/out", use(s3_server, profile="nobody"))
    helpers_s3.client(s3_server).put_object_acl(Bucket="storage-test", Key="videos/00.mp4", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3._filesystem.cache_clear()
    with pytest.raises(ConfigError, match="Unable to locate credentials"):
        check_storage([], f"{bucket}/out", use(s3_server))
    use(s3_server, anonymous=True)
    assert storage.exists(f"{bucket}/videos/00.mp4")
    with pytest.raises(PermissionError):
        storage.read_bytes(f"{bucket}/videos/01.mp4")


@pytest.mark.parametrize(
    "first", ["read", *(pytest.param(name, marks=pytest.mark.slow) for name in ("write", "list", "stat"))]
)
def test_a_session_token_that_was_replaced_meanwhile_is_read_anew(s3_server, bucket, monkeypatch, tmp_path, first, use):
    monkeypatch.setattr(retrying, "_FIRST_WAIT_S", 0.01)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    def hand_out(token):
        file.write_text(f"[default]\naws_access_key_id=a\naws_secret_access_key=b\naws_session_token={token}\n")

    work = {
        "read": lambda: storage.read_bytes(f"{bucket}/videos/03.mp4"),
        "write": lambda: storage.write_bytes(f"{bucket}/new/token", b"x" * 2000),
        "list": lambda: storage.list_files(f"{bucket}/videos"),
        "stat": lambda: storage.exists(f"{bucket}/videos/03.mp4"),
    }
    hand_out("the first")
    with misbehaving(s3_server, Faults()) as proxy:
        use(proxy.url)
        for operation in work.values():
            operation()
        proxy.faults = Faults(expired="the first")
        hand_out("the second")
        work[first]()
        refused = proxy.did["expired"]
        assert refused > 0
        for operation in work.values():
            operation()
        assert proxy.did["expired"] == refused
        proxy.faults = Faults(expired="the second")
        access = use(proxy.url, attempts=2)
        with pytest.raises(PermissionError, match="expired"):
            storage.read_bytes(f"{bucket}/videos/03.mp4")
        with pytest.raises(ConfigError, match="expired"):
            check_storage([], f"{bucket}/out", access)


def test_usual_environment_variables_count(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    found = StorageSettings().with_environment()
    assert (found.region, found.anonymous, found.request_payer) == ("eu-west-3", True, True)
    assert StorageSettings(region="x").with_environment().region == "x"


def test_passwords_in_uris_and_endpoints_are_refused_and_not_shown():
    with pytest.raises(ValueError, match="holds a password") as refused:
        storage.filesystem("ftp://me:hunter2@host/x")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="no user name or password"):
        StorageSettings(endpoint="https://me:hunter2@host")


def test_a_faulty_day_of_the_issue_is_what_the_workflow_tests_use():
    assert (FAULTS.slow_down, FAULTS.cut, FAULTS.delay_s) == (0.10, 0.02, 0.05)
