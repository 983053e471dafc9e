from __future__ import annotations

import pytest

from v2a_core import manifest, storage
from v2a_core.config import ConfigError


def new(**identity):
    return manifest.new(
        "embed",
        identity={"segments": {"length_s": 10.0}, **identity},
        config={},
        bundle={"name": "miniature"},
        spaces={"vision": "clip:1", "audio": "clap:1"},
    )


def summary(status="done"):
    return {"status": status, "counts": {"sources": 3}}


def test_the_same_settings_take_an_output_over_and_add_their_run(tmp_path):
    output = str(tmp_path)
    for _ in range(2):
        manifest.close_output(output, manifest.open_output(output, new()), summary())
    read = manifest.read(output, job="embed")
    assert read["status"] == "done"
    assert read["counts"] == {"sources": 3}
    assert len(read["runs"]) == 2


def test_other_settings_are_refused_naming_both_sides(tmp_path):
    manifest.open_output(str(tmp_path), new(clip="abc"))
    with pytest.raises(ConfigError, match=r"identity\.clip: the output has 'abc', this run 'xyz'"):
        manifest.open_output(str(tmp_path), new(clip="xyz"))
    assert manifest.read(str(tmp_path), job="embed")["identity"]["clip"] == "abc"


def test_a_reader_refuses_what_is_not_its_input(tmp_path):
    with pytest.raises(ConfigError, match=r"has no manifest\.json"):
        manifest.read(str(tmp_path), job="embed")
    manifest.open_output(str(tmp_path), new())
    with pytest.raises(ConfigError, match="output of `v2a embed`, an output of `v2a train` is needed"):
        manifest.read(str(tmp_path), job="train")
    uri = storage.join(str(tmp_path), manifest.FILE_NAME)
    storage.write_json(uri, {**storage.read_json(uri), "schema_version": 99})
    with pytest.raises(ConfigError, match="schema version 99, this program reads 3"):
        manifest.read(str(tmp_path), job="embed")
