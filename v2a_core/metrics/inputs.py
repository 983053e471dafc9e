"""What soundtracks are evaluated with: their index and manifest, the originals, embeddings of references."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.catalog.files import is_tar
from v2a_core.config import ConfigError
from v2a_core.media.config import SegmentSettings
from v2a_core.models import LocalBundle
from v2a_core.models.spaces import made_anew
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import read_latest
from v2a_core.outputs.manifest import Manifest
from v2a_core.storage.checksums import sha256_of
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import INDEX, INDEX_FOLDER, OK, ROWS_FOLDER

# What tells of a row whether its sound is still the one that was heard.
HEARD = ["source_id", "status", "audio_path", "audio_sha256"]


def read_manifest(soundtracks: str, *, allow_unfinished: bool) -> Manifest:
    """What `v2a generate` wrote down.

    Raises:
        ConfigError: When it is of another job, or of one that has not finished.
    """
    made_by = manifest.read(soundtracks, job="generate")
    if made_by.get("status") != "done" and not allow_unfinished:
        raise ConfigError(
            f"{soundtracks} is not finished (status {made_by.get('status')!r}): run the same `v2a generate` again to "
            "complete it, or evaluate what is there with --set allow_unfinished=true"
        )
    return made_by


def segments_of(made_by: Manifest) -> SegmentSettings:
    """How the sources of the soundtracks were cut."""
    return SegmentSettings.model_validate(made_by["identity"]["segments"])


def check_space(soundtracks: str, made_by: Manifest, local: LocalBundle) -> None:
    """Refuse soundtracks that were made for another space of sounds than the bundle's."""
    has = made_by["spaces"]["audio"]
    if has != local.audio_space:
        raise ConfigError(
            f"{soundtracks} was made for the audio space {has!r}, bundle {local.name!r} has {local.audio_space!r}: "
            + (made_anew(has, "generate") or "choose the bundle it was made with (--models)")
        )


def read_index(soundtracks: str, limit: int | None) -> pa.Table:
    """The good rows of the index, in the order of their names, at most the first `limit`.

    Raises:
        ConfigError: When there are none.
    """
    table = read_latest(storage.join(soundtracks, INDEX_FOLDER), INDEX.names)
    if table is None:
        raise ConfigError(f"{soundtracks} holds no index/part-*.parquet: run `v2a generate` into it first")
    good = table.filter(pc.equal(table["status"], OK))
    if not good.num_rows:
        raise ConfigError(f"{soundtracks} holds no soundtrack: all {table.num_rows} rows of its index are rejected")
    good = good.sort_by([("source_name", "ascending"), ("source_id", "ascending")])
    return good.slice(0, limit) if limit is not None else good


def sound_uri(soundtracks: str, path: str) -> str:
    """Where a sound of an index lies.

    Args:
        soundtracks: Folder or URI that its paths are relative to; empty: they are absolute.
        path: As the index has it.
    """
    return storage.join(soundtracks, path) if soundtracks else path


def made_again(index: pa.Table, soundtracks: str) -> Callable[[pa.Table], npt.NDArray[np.bool_]]:
    """Says of rows of an evaluation (`HEARD`) which are of a sound that is another one now, or was damaged and is not.

    Args:
        index: The soundtracks.
        soundtracks: As for `sound_uri`.
    """
    ids, hashes = index["source_id"].combine_chunks(), index["audio_sha256"].combine_chunks()

    def choose(heard: pa.Table) -> npt.NDArray[np.bool_]:
        now = hashes.take(pc.index_in(heard["source_id"].combine_chunks(), value_set=ids))
        is_other = pc.fill_null(pc.not_equal(now, heard["audio_sha256"].combine_chunks()), fill_value=False)
        chosen: npt.NDArray[np.bool_] = is_other.to_numpy(zero_copy_only=False).astype(bool)
        for row in np.flatnonzero(pc.not_equal(heard["status"], OK).to_numpy()):
            chosen[row] |= is_whole(sound_uri(soundtracks, heard["audio_path"][row].as_py()), now[row].as_py())
        return chosen

    return choose


def is_whole(uri: str, sha256: str | None) -> bool:
    """Whether a file is there and has this sha256."""
    try:
        return sha256_of(uri)[0] == sha256
    except OSError:
        return False


def with_sources(index: pa.Table, originals: bool) -> pa.Table:
    """The index with the sources of its rows, to fetch the originals again."""
    items = index.select(["source_uri", "source_name", "kind", "start_s", "duration_s"]).to_pylist()
    members = _shard_members({item["source_uri"] for item in items}) if originals else {}
    sources = []
    for item in items:
        source = members.get(item["source_uri"]) or Source(item["source_uri"], item["source_name"], item["kind"])
        fields = source.to_row() | {"start_s": item["start_s"], "duration_s": item["duration_s"]}
        sources.append(rows.pack_source(Source.from_row(fields)))
    return index.append_column("source", pa.array(sources, pa.string()))


def read_references(embeddings: str, local: LocalBundle) -> dict[str, npt.NDArray[np.float32]]:
    """CLAP embeddings of sounds that `v2a embed` wrote, by segment id.

    Raises:
        ConfigError: When they are of another space than the bundle's, or there are none.
    """
    space = manifest.read(embeddings, job="embed")["spaces"]["audio"]
    if space != local.audio_space:
        raise ConfigError(
            f"--embeddings {embeddings} is of the audio space {space!r}, the models of {local.audio_space!r}: "
            + (made_anew(space, "embed") or "choose the bundle it was made with (--models)")
        )
    table = read_latest(storage.join(embeddings, ROWS_FOLDER), ["segment_id", "clap_embedding"])
    if table is None:
        raise ConfigError(
            f"--embeddings {embeddings} holds no {ROWS_FOLDER}/part-*.parquet: run `v2a embed` into it first"
        )
    vectors = arrays.read_vectors(table["clap_embedding"])
    found = {identity: v for identity, v in zip(table["segment_id"].to_pylist(), vectors, strict=True) if v is not None}
    if not found:
        raise ConfigError(f"--embeddings {embeddings} holds no embedding of a sound in {table.num_rows} rows")
    return found


def _shard_members(uris: set[str]) -> dict[str, Source]:
    """The sources inside tar shards, by URI; a shard that is gone has none."""
    shards = {shard for shard in (uri.rpartition("#")[0] for uri in uris) if shard and is_tar(shard)}
    found: dict[str, Source] = {}
    for shard in sorted(shards):
        if storage.exists(shard):
            found |= {source.uri: source for source in list_sources([shard], CatalogSettings()).sources}
    return found
