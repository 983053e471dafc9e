"""The models of a bundle at work on the small world: see and hear scenes, make sounds, train mappers.

A `Studio` does one piece of work; `Crew` spreads pieces over processes, each with a studio and one thread: two of them
are faster than one with two threads.

Shapes: N scenes or sounds, T samples, D numbers of an embedding, F frames of a scene.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.compute.processes import process_pool
from v2a_core.compute.threads import prepare_torch
from v2a_core.encoders import EncoderSettings, build_audio, build_vision
from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.generators.ranking import Listener
from v2a_core.media.log_mel import SAMPLE_RATE, log_mel
from v2a_core.media.resample import clap_waveform
from v2a_core.metrics.extractors.judge import Judge, Verdicts, load_judge
from v2a_core.metrics.extractors.pitch import centroid_hz
from v2a_core.metrics.extractors.tempo import tempo_hz
from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.miniature.watching import watch, watch_together
from v2a_core.miniature.world import KINDS, Scene, WorldSettings, render_frames, render_sound, render_still, sample
from v2a_core.miniature.world.canvas import Style
from v2a_core.miniature.world.scenes import Split
from v2a_core.models import LocalBundle
from v2a_core.protocols import AudioEncoder, Curve, CurvePredictor, Generator, VisionEncoder
from v2a_core.timing import predictors
from v2a_core.timing.predictors import CURVE_PREDICTORS
from v2a_core.timing.predictors.config import PredictorSettings

Floats = npt.NDArray[np.float32]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
D = TypeVar("D", bound="DataclassInstance")

PEAK = 0.5  # as AudioLDM scales waveforms
CHUNK = 8


@dataclass(frozen=True)
class Heard:
    """What is heard in N sounds.

    Attributes:
        kinds_N: Index of the kind that the judge names.
        attributes_N3: Pitch, tempo and intensity as the judge hears them.
        embedding_ND: CLAP embeddings, L2-normalised.
        pitch_N: Log centroid, NaN for silence.
        tempo_N: Log tempo, NaN where there is none.
    """

    kinds_N: npt.NDArray[np.int64]
    attributes_N3: Floats
    embedding_ND: Floats
    pitch_N: Floats
    tempo_N: Floats

    def __len__(self) -> int:
        return len(self.kinds_N)

    def take(self, rows: npt.NDArray[np.int64]) -> Heard:
        """Some of the sounds, by their numbers, int64 (any number of rows,)."""
        return Heard(*(getattr(self, field.name)[rows] for field in fields(self)))


class Studio:
    """The models of a bundle in one process.

    Args:
        local: The bundle.
        judge: Folder of the judge; None for an untrained one, whose verdicts mean nothing.
        settings: Of the score.

    Attributes:
        length_s: Length of all sounds, seconds.
    """

    def __init__(self, local: LocalBundle, judge: Path | None, settings: ScoreSettings) -> None:
        self._local, self._settings, self._judge_folder = local, settings, judge
        self._spec = local.media_spec()
        self._world = WorldSettings(seed=settings.world_seed)
        self.length_s = settings.length_s
        self._predictors: dict[str, CurvePredictor] = {}

    @functools.cached_property
    def clip(self) -> VisionEncoder:
        """CLIP's image tower."""
        return build_vision(self._local, EncoderSettings())

    @functools.cached_property
    def clap(self) -> AudioEncoder:
        """CLAP's audio tower."""
        return build_audio(self._local, EncoderSettings())

    @functools.cached_property
    def generator(self) -> Generator:
        """The bundle's generator."""
        return load_generator(self._local, self._settings.generator, adapter=self._local.adapter)

    @functools.cached_property
    def listener(self) -> Listener:
        """What ranks candidates."""
        return Listener(self.clap, self._spec)

    @functools.cached_property
    def judge(self) -> Judge:
        """The judge of sounds."""
        if self._judge_folder is not None:
            return load_judge(self._judge_folder)
        torch.manual_seed(0)
        return Judge(KINDS)

    def scene(self, split: Split, index: int) -> Scene:
        """A scene of the world."""
        return sample(self._world, split, index)

    def see(self, split: Split, indices: Sequence[int], still: bool) -> list[npt.NDArray[np.float16]]:
        """CLIP embeddings of the frames of each scene (F, D), or of its still in the other style (1, D)."""
        size = self._spec.image_size
        scenes = [self.scene(split, index) for index in indices]
        if still:
            pictures = [render_still(scene, size=size)[None] for scene in scenes]
        else:
            rate = self._settings.frames_per_second
            pictures = [
                render_frames(scene, length_s=self.length_s, size=size, frames_per_second=rate) for scene in scenes
            ]
        flat = self.clip.encode(np.concatenate(pictures)).astype(np.float16)
        return np.split(flat, np.cumsum([len(item) for item in pictures])[:-1])

    def predict(self, split: Split, indices: Sequence[int], predictor: str, style: Style) -> list[Curve]:
        """The curves that a predictor makes of the pictures of scenes."""
        scenes, (encoder, rate) = [self.scene(split, index) for index in indices], self._eyes(predictor)
        seen = watch(scenes, encoder, rate, self.length_s, self._spec.image_size, style)
        return self._predictors[predictor].predict(seen)

    def predict_together(self, split: Split, indices: Sequence[int], predictor: str) -> Curve:
        """The curve that a predictor makes of a video in which scenes follow each other."""
        scenes, (encoder, rate) = [self.scene(split, index) for index in indices], self._eyes(predictor)
        seen = watch_together(scenes, encoder, rate, self.length_s, self._spec.image_size)
        return self._predictors[predictor].predict([seen])[0]

    def _eyes(self, predictor: str) -> tuple[VisionEncoder | None, float]:
        """What embeds the frames that a predictor looks at, and how many a second; it is built when first asked for."""
        settings = CURVE_PREDICTORS.settings(predictor)()
        assert isinstance(settings, PredictorSettings)
        if predictor not in self._predictors:
            self._predictors[predictor] = predictors.build(settings, self._local)
        return self.clip if settings.sees else None, settings.rate(self._local)

    def embed(self, split: Split, indices: Sequence[int]) -> Floats:
        """CLAP embeddings of the sounds of scenes, (N, D)."""
        return self._embed(np.stack([self.sound(split, index) for index in indices]), SAMPLE_RATE)

    def listen(self, split: Split, indices: Sequence[int]) -> Heard:
        """The sounds of scenes, heard."""
        return self._hear(np.stack([self.sound(split, index) for index in indices]), SAMPLE_RATE)

    def make(self, conditions_ND: Floats, seeds: Sequence[int]) -> Heard:
        """Sounds made from conditions (N, D), heard. A sound that could not be made is silence."""
        made_NT = np.nan_to_num(self.generator.generate(conditions_ND, seeds, self.length_s))
        return self._hear(made_NT, self.generator.sample_rate)

    def reconstruct(self, split: Split, indices: Sequence[int]) -> Heard:
        """The sounds of scenes through VAE and vocoder, heard."""
        return self._hear(self.rebuild(split, indices), SAMPLE_RATE)

    @torch.inference_mode()
    def rebuild(self, split: Split, indices: Sequence[int]) -> Floats:
        """The sounds of scenes through VAE and vocoder, float32 (N, T)."""
        if not isinstance(self.generator, AudioLdmGenerator):
            raise TypeError(f"sounds go through a VAE and a vocoder of AudioLDM here, not {type(self.generator)}")
        parts = self.generator.parts
        sizes = parts.geometry
        # As long as what the generator makes for this length: whole latents.
        grid_s = sizes.latent_shape(self.length_s)[1] * sizes.vae_factor * sizes.hop_length / sizes.sample_rate
        waveforms = np.stack([self.sound(split, index, grid_s) for index in indices])
        waveforms -= waveforms.mean(axis=1, keepdims=True)
        waveforms *= PEAK / (np.abs(waveforms).max(axis=1, keepdims=True) + 1e-8)
        mels_N1FM = log_mel(torch.from_numpy(waveforms))[:, None].to(parts.vae.dtype)
        latents_NCHW = parts.vae.encode(mels_N1FM).latent_dist.mean
        again_NFM = parts.vae.decode(latents_NCHW).sample[:, 0].float()
        made_NT: Floats = np.nan_to_num(parts.vocoder(again_NFM)[:, : sizes.samples(self.length_s)].numpy())
        return made_NT

    def sound(self, split: Split, index: int, length_s: float | None = None) -> Floats:
        """The sound of a scene, float32 (T,)."""
        return render_sound(self.scene(split, index), length_s=length_s or self.length_s, sample_rate=SAMPLE_RATE)

    def _embed(self, waveforms_NT: Floats, sample_rate: int) -> Floats:
        return self.clap.encode(np.stack([clap_waveform(item, sample_rate, self._spec) for item in waveforms_NT]))

    def named(self, waveforms_NT: Floats, sample_rate: int) -> npt.NDArray[np.int64]:
        """Index of the kind that the judge names, for each of some sounds, (N,)."""
        return self._named(self.judge.hear(waveforms_NT, sample_rate))

    def _named(self, verdicts: Verdicts) -> npt.NDArray[np.int64]:
        return np.array([KINDS.index(self.judge.kinds[best]) for best in verdicts.probabilities_BK.argmax(axis=1)])

    def _hear(self, waveforms_NT: Floats, sample_rate: int) -> Heard:
        verdicts = self.judge.hear(waveforms_NT, sample_rate)
        return Heard(
            self._named(verdicts),
            verdicts.attributes_B3,
            self._embed(waveforms_NT, sample_rate),
            _logs([centroid_hz(item, sample_rate) for item in waveforms_NT]),
            _logs([tempo_hz(item, sample_rate) for item in waveforms_NT]),
        )


class Crew:
    """Studios side by side; with one process, this one.

    Args:
        local, judge, settings: See `Studio`.
    """

    def __init__(self, local: LocalBundle, judge: Path | None, settings: ScoreSettings) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._studio: Studio | None = None
        if settings.processes == 1:
            self._studio = Studio(local, judge, settings)
            return
        self._pool = process_pool(settings.processes, _open_studio, (local, judge, settings))

    def each(self, work: Callable[..., T], items: Sequence[tuple[object, ...]]) -> list[T]:
        """The results of a method of `Studio` for each tuple of arguments, in their order."""
        if self._studio is not None:
            return [work(self._studio, *arguments) for arguments in items]
        assert self._pool is not None
        return [task.result() for task in [self._pool.submit(_work, work, arguments) for arguments in items]]

    def run(self, functions: Sequence[Callable[[], T]]) -> list[T]:
        """The results of functions that need no models."""
        if self._pool is None:
            return [function() for function in functions]
        return [task.result() for task in [self._pool.submit(function) for function in functions]]

    def heard(self, work: Callable[..., Heard], items: Sequence[tuple[object, ...]]) -> Heard:
        """`each` for work that hears, as one."""
        return together(Heard, self.each(work, items))

    def make(self, conditions_ND: Floats, seeds: Sequence[int]) -> Heard:
        """Sounds made from conditions (N, D), heard."""
        starts = range(0, len(seeds), CHUNK)
        return self.heard(Studio.make, [(conditions_ND[s : s + CHUNK], list(seeds[s : s + CHUNK])) for s in starts])

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def together(kind: type[D], parts: Sequence[D]) -> D:
    """One dataclass of arrays from several, their rows behind each other."""
    return kind(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(kind)))


def chunks(indices: Sequence[int], size: int = CHUNK) -> list[list[int]]:
    """Consecutive pieces."""
    return [list(indices[start : start + size]) for start in range(0, len(indices), size)]


def _logs(values: Sequence[float | None]) -> Floats:
    return np.log(np.array([np.nan if value is None else value for value in values], np.float32))


_studio: Studio | None = None


def _open_studio(local: LocalBundle, judge: Path | None, settings: ScoreSettings) -> None:
    global _studio
    prepare_torch(threads=1)
    _studio = Studio(local, judge, settings)


def _work(work: Callable[..., T], arguments: tuple[object, ...]) -> T:
    return work(_studio, *arguments)
