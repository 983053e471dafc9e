"""Gathered sources to waveforms: windows of many sources share the generator's batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.compute.seeds import segment_seed
from v2a_core.generators.ranking import CandidateSettings, Listener
from v2a_core.generators.windows import JoinSettings
from v2a_core.media.types import MediaError
from v2a_core.protocols import Curve, Generator, Track
from v2a_core.stages.predict import unpack
from v2a_core.stages.prompts import TextConditions, TextSettings
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import EMBEDDING_DIM, OK
from v2a_core.timing.envelope import keeps_to

Floats = npt.NDArray[np.float32]

_BYTES_AT_ONCE = 16 * 2**20  # of waveforms, that are given on together


@dataclass(frozen=True)
class SoundtrackJob:
    """Everything that a soundtrack depends on, beside its source and the generator.

    Attributes:
        seed: Seed of the run.
        join: How segments meet.
        text: What is said beside what is seen.
        candidates: How many are made.
        curve: What it follows in time, from its beginning on; None: what was predicted for it, if anything.
    """

    seed: int
    join: JoinSettings
    text: TextSettings
    candidates: CandidateSettings
    curve: Curve | None = None


@dataclass(frozen=True)
class _Order:
    """The tracks of a source: its candidates, which differ in their noise."""

    row: int
    prompt: str | None
    negative_prompt: str | None
    tracks: list[Track]


class SoundtrackMaker:
    """Makes the soundtracks of gathered sources.

    Args:
        generator: Makes the sound.
        job: What else it depends on.
        listener: Ranks candidates; needed for more than one.
    """

    def __init__(self, generator: Generator, job: SoundtrackJob, listener: Listener | None = None) -> None:
        if job.candidates.count > 1 and listener is None:
            raise ValueError("candidates cannot be ranked without a listener")
        self._generator, self._job, self._listener = generator, job, listener
        self._text = TextConditions(job.text, generator.embed_text)

    def make(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows of `gather.SOUNDTRACKS` with `waveform` and how it was made; rejected rows pass.

        Their `conditions` are those that the sound was made from: words are mixed in.

        They come a few at a time, so that no more than these are held, and as soon as they are made.
        """
        orders = self._orders(batch)
        ordered = {order.row for order in orders}
        yield batch.take(pa.array([row for row in range(batch.num_rows) if row not in ordered], pa.int64()))
        sounds = self._generator.generate_tracks(
            [track for order in orders for track in order.tracks], self._job.join.overlap_s
        )
        made: list[_Made] = []
        size, clock = 0, _Clock(self._generator.seconds)
        for order in orders:
            made.append(self._made(order, [next(sounds) for _ in order.tracks], clock))
            size += len(made[-1].waveform or b"") + sum(map(len, made[-1].losers or ()))
            if size >= _BYTES_AT_ONCE:
                yield _fill(batch, made)
                made, size = [], 0
        if made:
            yield _fill(batch, made)

    def _orders(self, batch: pa.Table) -> list[_Order]:
        seen = arrays.read_vector_lists(batch["conditions"])
        curves = self._curves(batch)
        names = ["segment_ids", "starts_s", "duration_s", "source", "status"]
        orders = []
        told = zip(batch.select(names).to_pylist(), seen, curves, strict=True)
        for row, (values, conditions, curve) in enumerate(told):
            if values["status"] != OK or conditions is None:
                continue
            prompt, negative = self._text.prompts(rows.unpack_source(values["source"]))
            mixed = self._text.mix(np.asarray(conditions, np.float32), prompt)
            null = self._text.embed(negative) if negative else None
            starts_s, length_s = values["starts_s"], values["duration_s"]
            tracks = [
                Track(mixed, self._seeds(values["segment_ids"], number), starts_s, length_s, null, curve)
                for number in range(self._job.candidates.count)
            ]
            orders.append(_Order(row, prompt, negative, tracks))
        return orders

    def _curves(self, batch: pa.Table) -> list[Curve | None]:
        """What each soundtrack follows: the one curve of the run, or that which was predicted for it."""
        if self._job.curve is not None or "curve" not in batch.column_names:
            return [self._job.curve] * batch.num_rows
        return [unpack(packed) for packed in arrays.read_vector_lists(batch["curve"])]

    def _seeds(self, segment_ids: Sequence[str], candidate: int) -> list[int]:
        # The first candidate is what is made without candidates.
        stream = f"latents/{candidate}" if candidate else "latents"
        return [segment_seed(self._job.seed, identity, stream) for identity in segment_ids]

    def _made(self, order: _Order, sounds: Sequence[Floats], clock: _Clock) -> _Made:
        scores = [self._score(sound, track) for sound, track in zip(sounds, order.tracks, strict=True)]
        best = int(np.argmax(scores))
        made = _Made(order.row, order.prompt, order.negative_prompt)
        if np.isfinite(sounds[best]).all():
            made.waveform, made.conditions_ND = sounds[best].tobytes(), order.tracks[best].conditions_ND
            made.sample_rate_hz, made.seed = self._generator.sample_rate, self._job.seed
            if len(sounds) > 1:
                made.candidate, made.candidate_scores = best, scores
            if self._job.candidates.keep_losers:
                finite = [index for index, sound in enumerate(sounds) if index != best and np.isfinite(sound).all()]
                made.losers = [sounds[index].tobytes() for index in finite]
        made.generate_s, made.unet_s, made.vae_s, made.vocoder_s = clock.lap()
        return made

    def _score(self, sound: Floats, track: Track) -> float:
        """Similarity to the conditions, and to the curve if that counts; less than any for what could not be made."""
        if not np.isfinite(sound).all():
            return -np.inf
        if self._listener is None:
            return 0.0
        rate, weight = self._generator.sample_rate, self._job.candidates.timing_weight
        score = self._listener.similarity(sound, rate, track.starts_s, track.conditions_ND)
        return score + weight * keeps_to(track.curve, sound, rate) if weight and track.curve else score


@dataclass
class _Made:
    """What is new in a row: columns by their names; null without a sound.

    Attributes:
        row: Which row of the batch it is.
        conditions_ND: What the sound was made from, float32, L2-normalised.
    """

    row: int
    prompt: str | None
    negative_prompt: str | None
    waveform: bytes | None = None
    losers: list[bytes] | None = None
    sample_rate_hz: int | None = None
    seed: int | None = None
    candidate: int | None = None
    candidate_scores: list[float] | None = None
    generate_s: float = 0.0
    unet_s: float = 0.0
    vae_s: float = 0.0
    vocoder_s: float = 0.0
    conditions_ND: Floats | None = None


_NEW = {
    "waveform": pa.large_binary(),
    "losers": pa.list_(pa.large_binary()),
    "sample_rate_hz": pa.int32(),
    "seed": pa.int64(),
    "prompt": pa.string(),
    "negative_prompt": pa.string(),
    "candidate": pa.int32(),
    "candidate_scores": pa.list_(pa.float32()),
    "generate_s": pa.float64(),
    "unet_s": pa.float64(),
    "vae_s": pa.float64(),
    "vocoder_s": pa.float64(),
}


class _Clock:
    """Seconds of each source. A group that is made together counts for its first one: only sums mean something."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._last = self._now()

    def lap(self) -> tuple[float, ...]:
        """Seconds since the last lap: of all, of the UNet, the VAE and the vocoder."""
        now, last = self._now(), self._last
        self._last = now
        return tuple(after - before for after, before in zip(now, last, strict=True))

    def _now(self) -> tuple[float, ...]:
        return (time.monotonic(), *(self._seconds.get(part, 0.0) for part in ("unet", "vae", "vocoder")))


def _fill(batch: pa.Table, made: Sequence[_Made]) -> pa.Table:
    """The rows that were made, with their new columns; rejected where there is no sound."""
    table = batch.take(pa.array([item.row for item in made], pa.int64()))
    columns = {name: pa.array([getattr(item, name) for item in made], kind) for name, kind in _NEW.items()}
    conditions = [item.conditions_ND for item in made]
    columns["conditions"] = arrays.vector_lists(conditions, EMBEDDING_DIM, np.float32)
    bad = [item.waveform is None for item in made]
    return rows.reject_where(
        rows.replace(table, columns), bad, MediaError("generate", "NonFinite", "the generated sound is not finite")
    )
