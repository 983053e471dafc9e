"""Embeddings of a version whose sounds came to CLAP by another path: refused, and made anew by the command."""

from __future__ import annotations

import shutil

import helpers_catalog
import pytest

from v2a_core import storage
from v2a_core.config import ConfigError, load
from v2a_core.mappers.choice import check_mapper
from v2a_core.mappers.config import MapperConfig
from v2a_core.mappers.export import CONFIG_FILE
from v2a_core.metrics.inputs import read_references
from v2a_core.models import load_bundle
from v2a_core.training.config import DataSettings
from v2a_core.training.reading import read_manifest
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.train import job as train
from workflows.train.config import TrainJob

pytestmark = pytest.mark.slow

NOW = load_bundle("miniature").resolve().audio_space
BEFORE = NOW.replace("+sinc", "")
ANEW = r"make it anew in another folder: `v2a embed \.\.\. --output FOLDER`"


def run_embed(catalog: str, output: str) -> None:
    settings = ("segments.length_s=1.0", "segments.min_length_s=0.4", "encoders.precision=fp32")
    embed.run([catalog], output, load(EmbedJob, job="embed", overrides=list(settings)), models="miniature")


@pytest.fixture(scope="module")
def made(ray_session, tmp_path_factory):
    """A catalog, its embeddings, and what a version with another path would have left of it."""
    folder = tmp_path_factory.mktemp("paths")
    helpers_catalog.video(folder / "catalog" / "0.mp4", 1.3, hue=30)
    run_embed(str(folder / "catalog"), str(folder / "now"))
    shutil.copytree(folder / "now", folder / "before")
    uri = str(folder / "before" / "manifest.json")
    storage.write_json(uri, storage.read_json(uri) | {"spaces": storage.read_json(uri)["spaces"] | {"audio": BEFORE}})
    return folder


def test_old_embeddings_are_refused_with_the_command_that_makes_them_anew(made, tmp_path):
    before = str(made / "before")
    with pytest.raises(ConfigError, match=f"{before} .*{BEFORE}.*{ANEW}"):
        train.run(before, str(tmp_path / "mapper"), load(TrainJob, job="train"))
    with pytest.raises(ConfigError, match=rf"audio space '{BEFORE}'.*HTSAT-miniature\+sinc:.*{ANEW}"):
        read_references(before, load_bundle("miniature").resolve())
    assert not (tmp_path / "mapper").exists()


def test_no_run_goes_on_with_old_embeddings(made):
    rows = sorted((made / "before" / "rows").iterdir())
    with pytest.raises(ConfigError, match=rf"spaces\.audio: the output has '{BEFORE}', this run 'HTSAT"):
        run_embed(str(made / "catalog"), str(made / "before"))
    assert sorted((made / "before" / "rows").iterdir()) == rows


def test_the_command_makes_what_is_taken(made):
    assert read_manifest(str(made / "now"), DataSettings())["spaces"]["audio"] == NOW
    assert read_references(str(made / "now"), load_bundle("miniature").resolve())


def test_a_mapper_of_old_embeddings_is_refused_with_both_commands(tmp_path):
    local = load_bundle("miniature").resolve()
    mapper = helpers_catalog.random_mapper(tmp_path, local)
    assert check_mapper(mapper, None, local)
    config = MapperConfig.model_validate(storage.read_json(f"{mapper}/{CONFIG_FILE}"))
    storage.write_json(f"{mapper}/{CONFIG_FILE}", config.model_copy(update={"audio_space": BEFORE}).model_dump())
    with pytest.raises(ConfigError, match=rf"audio space '{BEFORE}'.*{ANEW}, then `v2a train \.\.\. --output FOLDER`"):
        check_mapper(mapper, None, local)
