from __future__ import annotations

import pytest

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs import manifest
from v2a_core.tables.schema import SCHEMA_VERSION


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
    manifest.open_output(str(tmp_path), new(vision="abc"))
    with pytest.raises(ConfigError, match=r"identity\.vision: the output has 'abc', this run 'xyz'"):
        manifest.open_output(str(tmp_path), new(vision="xyz"))
    assert manifest.read(str(tmp_path), job="embed")["identity"]["vision"] == "abc"


def test_the_same_settings_of_other_spaces_are_refused_naming_both_sides(tmp_path):
    manifest.open_output(str(tmp_path), new())
    other = new() | {"spaces": {"vision": "clip:1", "audio": "clap+sinc:1"}}
    with pytest.raises(ConfigError, match=r"spaces\.audio: the output has 'clap:1', this run 'clap\+sinc:1'"):
        manifest.open_output(str(tmp_path), other)
    assert manifest.read(str(tmp_path), job="embed")["spaces"]["audio"] == "clap:1"


def test_a_reader_refuses_what_is_not_its_input(tmp_path):
    with pytest.raises(ConfigError, match=r"has no manifest\.json"):
        manifest.read(str(tmp_path), job="embed")
    manifest.open_output(str(tmp_path), new())
    with pytest.raises(ConfigError, match="output of `v2a embed`, an output of `v2a train` is needed"):
        manifest.read(str(tmp_path), job="train")
    uri = storage.join(str(tmp_path), manifest.FILE_NAME)
    storage.write_json(uri, {**storage.read_json(uri), "schema_version": 99})
    with pytest.raises(ConfigError, match=f"schema version 99 .* reads and writes {SCHEMA_VERSION}: make it anew"):
        manifest.read(str(tmp_path), job="embed")


def test_an_output_keeps_its_name_and_every_part_that_was_ever_written(tmp_path):
    first = manifest.open_output(str(tmp_path), new())
    manifest.close_output(str(tmp_path), first, summary(), {"part-1": 2, "part-2": 3})
    second = manifest.open_output(str(tmp_path), new())
    assert manifest.read(str(tmp_path), job="embed")["contents"]["rows"] == 5  # while the second run goes on, too
    manifest.close_output(str(tmp_path), second, summary(), {"part-2": 3, "part-3": 4})
    read = manifest.read(str(tmp_path), job="embed")
    assert read["contents"] == {"rows": 9, "parts": {"part-1": 2, "part-2": 3, "part-3": 4}}
    assert len(first["output_id"]) == 32
    assert read["output_id"] == first["output_id"] != new()["output_id"]


def test_parts_name_what_they_belong_to(tmp_path):
    made_by = manifest.open_output(str(tmp_path), new(vision="abc", steps=1))
    told = manifest.part_metadata(made_by, audio_space="clap:1")
    assert told["v2a.identity"] == manifest.identity_digest(manifest.read(str(tmp_path), job="embed"))
    assert len(told["v2a.identity"]) == 32
    assert (told["v2a.schema_version"], told["v2a.audio_space"]) == (str(SCHEMA_VERSION), "clap:1")
    assert manifest.identity_digest(new(vision="xyz", steps=1)) != told["v2a.identity"]
    again = manifest.open_output(str(tmp_path), new(vision="abc", steps=1.0))  # the same settings, spelt otherwise
    assert manifest.part_metadata(again)["v2a.identity"] == told["v2a.identity"]
