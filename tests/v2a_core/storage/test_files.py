from __future__ import annotations

import pytest

from v2a_core import storage


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path.name}/out"


def test_a_file_is_written_read_listed_and_removed(folder):
    uri = storage.join(folder, "a b%20ü[1].bin")
    storage.write_bytes(uri, b"content")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"content"
    assert storage.list_files(folder, ".bin") == [uri]
    storage.remove(uri)
    storage.remove(uri)
    assert storage.list_files(folder) == []


def test_json_round_trip_and_broken_json_is_named(folder):
    uri = storage.join(folder, "x.json")
    storage.write_json(uri, {"a": [1, "ü"]})
    assert storage.read_json(uri) == {"a": [1, "ü"]}
    for content in (b"{", b"[" * 100_000, b"9" * 10_000, b"\xff\xff"):
        storage.write_bytes(uri, content)
        with pytest.raises(ValueError, match=r"x\.json is not valid JSON"):
            storage.read_json(uri)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(folder):
    uri = storage.join(folder, "x.bin")
    storage.write_bytes(uri, b"old")

    def fail():
        with storage.writing(uri) as path:
            path.write_bytes(b"half")
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        fail()
    assert storage.read_bytes(uri) == b"old"
    fs, path = storage.filesystem(folder)
    assert len(fs.ls(path)) == 1


def test_local_copy_gives_a_path_for_both(folder):
    uri = storage.join(folder, "x.bin")
    storage.write_bytes(uri, b"content")
    with storage.local_copy(uri) as path:
        assert path.read_bytes() == b"content"


def test_a_missing_folder_lists_nothing(folder):
    assert storage.list_files(folder) == []
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(folder, "none"))


def test_colons_are_letters_of_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "out::put", "out::put", f"file://{tmp_path}/out::put"):
        assert storage.canonical(str(folder)) == str(tmp_path / "out::put")
        storage.write_bytes(storage.join(str(folder), "a::b.bin"), b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["out::put"]
    chained = storage.filesystem(f"simplecache::file://{tmp_path}/out::put/a::b.bin")[0]
    assert type(chained).__name__ == "SimpleCacheFileSystem"
