"""How files are reached is said for a job: others in the same process know nothing of it, its own threads do."""

from __future__ import annotations

import contextlib
import threading

import helpers_processes
import helpers_s3
import pytest
from helpers_s3 import reached

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.compute.processes import process_pool
from v2a_core.compute.threads import ScopedThreads
from v2a_core.storage import StorageAccess, s3, time_limits
from v2a_core.storage.config import StorageSettings

ONE, OTHER = StorageAccess(StorageSettings(timeout_s=1.0)), StorageAccess(StorageSettings(timeout_s=2.0))


@pytest.fixture(scope="module")
def servers(s3_server, tmp_path_factory):
    """Two servers that have a bucket of one name, with other files in it; whether a name ends in .mp4 or has none."""
    with helpers_s3.serve_s3_apart() as other:
        for endpoint, count in ((s3_server, 2), (other, 3)):
            folder = tmp_path_factory.mktemp("bucket")
            for number in range(count):
                (folder / f"{number}.mp4").write_bytes(bytes([count]) * 100)
                (folder / f"{number}.ts").write_bytes(b"G" * 200)  # looked into, on threads of the listing
            helpers_s3.upload(endpoint, "one-name", folder)
        yield StorageAccess(reached(s3_server)), StorageAccess(reached(other))
    s3._filesystem.cache_clear()


def look_around():
    """The names of what is listed, and a file's first byte."""
    listed = list_sources(["s3://one-name"], CatalogSettings())
    with listed.sources[0].fetch() as path:
        return sum(source.name.endswith(".mp4") for source in listed.sources), path.read_bytes()[0]


def test_one_job_after_the_other(servers):
    for access, files in zip(servers, (2, 3), strict=True):
        with storage.reach(access):
            assert look_around() == (files, files)
        assert storage.in_use() == StorageAccess()


def test_two_jobs_at_once(servers):
    found, both = {}, threading.Barrier(2)

    def job(access):
        with storage.reach(access):
            both.wait(30)
            found[access] = [look_around() for _ in range(3)]
            both.wait(60)  # neither ends before the other has looked

    threads = [threading.Thread(target=job, args=(access,)) for access in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {servers[0]: [(2, 2)] * 3, servers[1]: [(3, 3)] * 3}
    assert storage.in_use() == StorageAccess()


def test_a_scope_ends_with_its_block_whatever_ends_that():
    with contextlib.suppress(ZeroDivisionError), storage.reach(ONE):
        with storage.reach(OTHER):
            assert storage.in_use() == OTHER
        assert storage.in_use() == ONE
        raise ZeroDivisionError
    assert storage.in_use() == StorageAccess()


def test_threads_of_a_job_reach_files_as_it_does():
    with ScopedThreads(1) as threads:
        with storage.reach(ONE):
            first = threads.submit(storage.in_use)
            assert list(threads.map(lambda _: storage.in_use(), range(2))) == [ONE, ONE]
            assert time_limits.within(5, "a look", storage.in_use) == ONE
            assert list(time_limits.iterate_within(5, "a look", (storage.in_use() for _ in range(1)))) == [ONE]
        with storage.reach(OTHER):
            second = threads.submit(storage.in_use)
        assert (first.result(), second.result()) == (ONE, OTHER)
    assert time_limits.within(5, "a look", storage.in_use) == StorageAccess()


def test_a_worker_process_is_told_once_for_all_its_threads():
    with process_pool(1, storage.set_process_default, (ONE,)) as worker:
        assert worker.submit(helpers_processes.in_a_thread, storage.in_use).result(60) == ONE
    assert storage.in_use() == StorageAccess()


def test_the_output_of_a_job_may_be_elsewhere():
    access = StorageAccess.of_job(ONE.settings, "s3://b/out/", OTHER.settings)
    assert access.of("s3://b/out") == access.of("s3://b/out/") == access.of("s3://b/out/x/y") == OTHER.settings
    assert access.of("s3://b/outer") == access.of("s3://b") == ONE.settings
    assert StorageAccess.of_job(ONE.settings, "s3://b/out", None).of("s3://b/out") == ONE.settings
