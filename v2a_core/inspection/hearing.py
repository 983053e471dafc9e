"""CLAP: does it hear what it is told, and are sounds resampled for it as for the generator's training.

Shapes: N sounds, K kinds, T samples, D numbers of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import soxr

from v2a_core.inspection.denoising import NEEDED
from v2a_core.inspection.material import Labelled
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.media.resample import clap_waveform
from v2a_core.media.types import MediaSpec
from v2a_core.protocols import Floats

CLOSE_DB = -60.0


def check_zero_shot(opened: Opened) -> list[Row]:
    """Whether the nearest text of each sound is its own; texts by the generator's text tower."""
    name = "sounds named by CLAP (zero-shot)"
    if not opened.material.sounds:
        return [unchecked(name, "most of them right", NEEDED)]
    right, needed, kinds = named_right(opened.embeddings, opened.material.sounds, opened.generator.embed_text)
    count = len(opened.material.sounds)
    return [
        judged(
            name,
            f"at least {needed} of {count}, {kinds} kinds",
            f"{right} of {count}",
            right >= needed,
            "audio and text tower are not of one CLAP (the text tower is another CLAP's), or CLAP hears other "
            "log-mels than it was trained on",
        )
    ]


def named_right(
    embeddings_ND: Floats, items: Sequence[Labelled], embed_text: Callable[[Sequence[str]], Floats]
) -> tuple[int, int, int]:
    """How many of some things are nearest to the texts of their own kind, how many must be, and K.

    Chance gives so many in a thousandth of all cases; with few kinds a half is wanted, too.
    """
    texts = {item.kind: item.texts for item in items}
    kinds = sorted(texts)
    classes_KD = np.stack([embed_text(texts[kind]).mean(axis=0) for kind in kinds])
    classes_KD /= np.linalg.norm(classes_KD, axis=1, keepdims=True)
    named_N = (embeddings_ND @ classes_KD.T).argmax(axis=1)
    right = sum(kinds[index] == item.kind for index, item in zip(named_N, items, strict=True))
    count, chance = len(items), 1 / len(kinds)
    beyond = count * chance + 3 * math.sqrt(count * chance * (1 - chance))
    return right, min(count, max(math.ceil(count / 2), math.ceil(beyond))), len(kinds)


def check_resampling(opened: Opened) -> list[Row]:
    """Whether sounds reach CLAP as through torchaudio's windowed sinc, with which the generator was trained."""
    spec = opened.local.media_spec()
    noise_T = np.random.default_rng(0).uniform(-0.5, 0.5, 22_050).astype(np.float32)
    found_T = clap_waveform(noise_T, 44_100, spec)
    expected_T = through(noise_T, 44_100, spec, sinc)
    distance, to_soxr = (_distance_db(found_T, item) for item in (expected_T, through(noise_T, 44_100, spec, _soxr)))
    cause = "sounds are resampled by soxr instead of the windowed sinc" if to_soxr < CLOSE_DB else "another resampler"
    return [
        judged(
            "noise resampled for CLAP",
            f"within {CLOSE_DB:g} dB of torchaudio's windowed sinc",
            f"{distance:.0f} dB",
            distance < CLOSE_DB,
            f"{cause}: CLAP hears other images above 8 kHz than the generator was trained with",
        )
    ]


def through(waveform_T: Floats, sample_rate: int, spec: MediaSpec, resample: Callable[..., Floats]) -> Floats:
    """AudioLDM's way of a waveform to CLAP, with a resampler: to 16 kHz, mean 0, peak 0.5, to CLAP's rate, repeated."""
    low = resample(waveform_T, sample_rate, spec.audio_path_sample_rate)
    low = low - low.mean()
    high = resample(
        low * np.float32(0.5 / (np.abs(low).max() + 1e-8)), spec.audio_path_sample_rate, spec.audio_sample_rate
    )
    repeated = np.tile(high, max(1, spec.audio_samples // len(high)))[: spec.audio_samples]
    return np.pad(repeated, (0, spec.audio_samples - len(repeated))).astype(np.float32)


def sinc(waveform_T: Floats, sample_rate: int, new_rate: int) -> Floats:
    """A windowed sinc with torchaudio's defaults, summed for each output as its formula stands.

    Source: torchaudio.functional.resample: lowpass_filter_width 6, rolloff 0.99, a squared cosine as its window.
    """
    if sample_rate == new_rate:
        return waveform_T
    cutoff = 0.99 * min(1.0, new_rate / sample_rate)
    reach = math.ceil(6 / cutoff)
    at_T = np.arange(math.ceil(len(waveform_T) * new_rate / sample_rate)) * (sample_rate / new_rate)
    padded = np.pad(waveform_T.astype(np.float64), reach + 1)
    made_T = np.zeros(len(at_T))
    for offset in range(-reach, reach + 2):
        taken_T = np.floor(at_T).astype(np.int64) + offset
        angle_T = np.clip(cutoff * (taken_T - at_T), -6, 6)
        kernel_T = cutoff * np.sinc(angle_T) * np.cos(angle_T * np.pi / 12) ** 2
        made_T += kernel_T * padded[np.clip(taken_T + reach + 1, 0, len(padded) - 1)]
    return made_T.astype(np.float32)


def _soxr(waveform_T: Floats, sample_rate: int, new_rate: int) -> Floats:
    made: Floats = soxr.resample(waveform_T, sample_rate, new_rate, quality="HQ").astype(np.float32)
    return made


def _distance_db(a_T: Floats, b_T: Floats) -> float:
    return 10 * math.log10(float(np.square(a_T - b_T).mean()) / float(np.square(b_T).mean()) + 1e-20)
