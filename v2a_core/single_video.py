"""The soundtrack of one video, in this process: the stages of `v2a generate` in a row, without Ray and without files.

With the same seed and settings it is the same sound: a segment's noise depends on the video and the seed alone.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources, source_id
from v2a_core.config import ConfigError, load
from v2a_core.generators import check_settings, load_generator, tell_doubt
from v2a_core.generators.adapters import find_adapter
from v2a_core.mappers.choice import canonical_mapper, check_mapper, load_condition_mapper, unlike_training
from v2a_core.media.loudness import finish_waveform
from v2a_core.media.types import MediaError
from v2a_core.models import LocalBundle, check_spaces, check_weights, load_bundle
from v2a_core.protocols import ConditionMapper, Generator, VisionEncoder
from v2a_core.stages.config import SoundSettings
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.stages.embed import embed_frames
from v2a_core.stages.follow import ToFollow, choose
from v2a_core.stages.gather import SourceGatherer
from v2a_core.stages.generate import SoundtrackJob, SoundtrackMaker
from v2a_core.stages.map import map_conditions
from v2a_core.stages.predict import predict_curves
from v2a_core.storage import StorageAccess
from v2a_core.tables import rows
from v2a_core.tables.rows import DecodedRow
from v2a_core.tables.schema import OK
from v2a_core.timing import predictors

if TYPE_CHECKING:
    from v2a_core.generators.ranking import Listener

_SEGMENTS_AT_ONCE = 16


@dataclass(frozen=True)
class Soundtrack:
    """What one video sounds like.

    Attributes:
        waveform: Float32 (samples,), -1..1, levelled.
        sample_rate: Of the waveform, Hz.
    """

    waveform: npt.NDArray[np.float32]
    sample_rate: int


def soundtrack(
    video: str,
    mapper: str,
    *,
    models: str = "paper",
    seed: int | None = None,
    prompt: str = "",
    negative_prompt: str = "",
    curve: str | None = None,
    reference_audio: str | None = None,
    timing: str | None = None,
    adapter: str | None = None,
    settings: Sequence[str] = (),
    config: str | None = None,
    device: str | None = None,
) -> Soundtrack:
    """Make the soundtrack of one video or picture. Models stay loaded for the next call.

    Args:
        video: File or URI.
        mapper: Folder, URI or hub name of a mapper that `v2a train` exported, or `none`.
        models: A bundle's name or file.
        seed: Another one gives another sound; None: that of the settings, 0.
        prompt: What shall be heard, beside what is seen.
        negative_prompt: What shall not be heard.
        curve: A file or URI that the sound follows in time: a CSV with the columns `time_s`, `level` (0..1) and maybe
            `onset`, or a sound whose envelope is taken.
        reference_audio: The same, of a sound alone.
        timing: What predicts such a curve from the pictures, `gru` or `motion`; `off`: nothing does; None: as the
            settings say.
        adapter: Folder or URI of what makes the generator follow it; None: the bundle's own.
        settings: Settings of `v2a generate` as behind its `--set`, such as `"generator.guidance_scale=3"`.
        config: A YAML file of them, or the name of one in configs/generate/.
        device: `cpu`, `cuda`, ...; by default a GPU where there is one.

    Raises:
        ConfigError: For a wrong setting, a video that is none, a mapper of other embedding spaces, or a curve that
            cannot be followed.
        MediaError: When the video cannot be fetched, decoded or seen; says at which stage, and why.
    """
    said = settings if timing is None else [*settings, f"timing={json.dumps(timing)}"]
    chosen = _with(load(SoundSettings, job="generate", source=config, overrides=said), seed, prompt, negative_prompt)
    asked = ToFollow(curve, reference_audio, adapter)
    asked.check(chosen.timing)
    with storage.reach(StorageAccess(chosen.storage)):
        source = _one_source(video)
        maker = _Maker(chosen, models, canonical_mapper(mapper), asked.canonical(), device)
        row = maker.make(source)
        if row["status"] != OK:
            raise MediaError(row["reject_stage"], row["reject_type"], row["reject_message"])
        finished = finish_waveform(np.frombuffer(row["waveform"], np.float32), row["sample_rate_hz"], chosen.finish)
        return Soundtrack(finished.waveform, finished.sample_rate)


def _with(settings: SoundSettings, seed: int | None, prompt: str, negative_prompt: str) -> SoundSettings:
    """The settings with what was said beside them."""
    words = {name: text for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)) if text}
    update = {"text": settings.text.model_copy(update=words), "seed": settings.seed if seed is None else seed}
    return settings.model_copy(update=update)


class _Made(TypedDict):
    """What is used of a row of `gather.SOUNDTRACKS`."""

    status: str
    reject_stage: str
    reject_type: str
    reject_message: str
    waveform: bytes
    sample_rate_hz: int


@dataclass(frozen=True)
class _Loaded:
    local: LocalBundle
    encoder: VisionEncoder
    mapper: ConditionMapper
    generator: Generator


class _AdapterKey(NamedTuple):
    """An adapter, and its fingerprint: one that was trained anew in its folder is loaded anew."""

    place: str | None
    fingerprint: str


class _Maker:
    """The stages, with their models."""

    def __init__(self, settings: SoundSettings, models: str, mapper: str, asked: ToFollow, device: str | None) -> None:
        from v2a_core.compute.precision import default_device

        self._settings = settings
        self._device = device or default_device()
        local = load_bundle(models).resolve()
        check_settings(local, settings.generator)
        # The fingerprint is a part of the key: a mapper that was trained anew in its folder is loaded anew.
        fingerprint = check_mapper(mapper, settings.sampling, local)
        self._followed = choose(asked, local, settings)
        unlike = unlike_training(mapper, settings.segments, settings.frames)
        if unlike:
            warnings.warn(unlike, stacklevel=3)
        kept = SoundSettings(encoders=settings.encoders, sampling=settings.sampling, generator=settings.generator)
        adapter = _AdapterKey(self._followed.adapter, self._followed.fingerprint) if self._followed else None
        self._models = _load(models, mapper, fingerprint, adapter, kept.model_dump_json(), self._device)

    def make(self, source: Source) -> _Made:
        """The row of a source, of `gather.SOUNDTRACKS`, with its waveform or with what was wrong."""
        gathered = pa.concat_tables(self._gathered(source))
        job = self._settings
        curve = self._followed.curve if self._followed else None
        maker = SoundtrackMaker(
            self._models.generator, SoundtrackJob(job.seed, job.join, job.text, job.candidates, curve), self._listener()
        )
        row: _Made
        (row,) = [row for table in maker.make(gathered) for row in table.to_pylist()]
        return row

    def _gathered(self, source: Source) -> Iterator[pa.Table]:
        job, models = self._settings, self._models
        spec, followed = models.local.media_spec(), self._followed
        settings = followed.predictor if followed else None
        frames = followed.frames(job.frames) if followed else job.frames
        sees = settings is not None and settings.sees
        decode = DecodeSettings(job.segments, frames, job.decoder, spec, want_audio=False, timed_pixels=sees)
        predictor = predictors.build(settings, models.local, self._device) if settings else None
        gatherer = SourceGatherer()
        for batch in _batches(decode_rows(source, source_id(source, job.segments, job.frames), (), decode)):
            seen = embed_frames(rows.table(batch), models.encoder, spec.image_size, sees)
            mapped = map_conditions(seen, models.mapper, job.seed)
            yield gatherer.add(predict_curves(mapped, predictor, sees) if predictor else mapped)

    def _listener(self) -> Listener | None:
        if self._settings.candidates.count < 2:
            return None
        from v2a_core import encoders
        from v2a_core.generators.ranking import Listener

        local = self._models.local
        return Listener(encoders.build_audio(local, self._settings.encoders, self._device), local.media_spec())


@functools.lru_cache(maxsize=1)
def _load(
    models: str, mapper: str, fingerprint: str, adapter: _AdapterKey | None, settings_json: str, device: str
) -> _Loaded:
    from v2a_core import encoders

    settings = SoundSettings.model_validate_json(settings_json)
    local = load_bundle(models).resolve()
    check_weights(local)
    check_spaces(local)
    tell_doubt(local)
    return _Loaded(
        local,
        encoders.build_vision(local, settings.encoders, device),
        load_condition_mapper(mapper, device, settings.sampling),
        load_generator(local, settings.generator, device, adapter and find_adapter(adapter.place, local)),
    )


def _one_source(video: str) -> Source:
    try:
        listed = list_sources([video], CatalogSettings())
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from None
    for _, reject in listed.rejects:
        raise reject
    if len(listed.sources) != 1:
        raise ConfigError(f"{video} holds {len(listed.sources)} videos: name one, or make all with `v2a generate`")
    return listed.sources[0]


def _batches(segments: Iterator[DecodedRow]) -> Iterator[list[DecodedRow]]:
    batch: list[DecodedRow] = []
    for row in segments:
        batch.append(row)
        if len(batch) == _SEGMENTS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
