"""Whether the border between two segments is heard, with the trained miniature and real sounds' embeddings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from v2a_core.encoders import build_audio
from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.generators.windows import JoinSettings
from v2a_core.media.resample import clap_waveform
from v2a_core.miniature.world import WorldSettings, render_sound, sample
from v2a_core.models import load_bundle
from v2a_core.protocols import Track

RATE, LENGTH_S, SEGMENTS = 16_000, 2.56, 4
STEADY = ("rain", "fire", "waves", "engine", "wind")  # events of their own would be counted as seams
CROSSFADE_S, NEAR_S = 0.24, 0.12


def flux_at_borders(waveform: np.ndarray, borders_s: list[float]) -> float:
    """Mean spectral flux (rise of log magnitudes) near the borders over that elsewhere."""
    size, hop = 512, 128
    frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop] * np.hanning(size)
    levels = np.log1p(100 * np.abs(np.fft.rfft(frames, axis=1)))
    flux = np.maximum(0, np.diff(levels, axis=0)).sum(axis=1)
    times_s = ((np.arange(len(flux)) + 1) * hop + size / 2) / RATE
    near = np.min(np.abs(times_s[:, None] - np.array(borders_s)), axis=1) < NEAR_S
    return float(flux[near].mean() / flux[~near].mean())


def cross_faded(generator: AudioLdmGenerator, track: Track) -> np.ndarray:
    """The baseline: segments made alone, a little too long, and joined by an equal-power cross-fade."""
    fade = round(CROSSFADE_S * RATE)
    turn = (np.arange(fade) + 0.5) * (np.pi / 2 / fade)
    joined = np.zeros(round(track.length_s * RATE), np.float32)
    pieces = generator.generate(track.conditions_ND, track.seeds, LENGTH_S + CROSSFADE_S)
    for index, (start_s, piece) in enumerate(zip(track.starts_s, pieces, strict=True)):
        if index:
            piece[:fade] *= np.sin(turn)
        if index < SEGMENTS - 1:
            piece[-fade:] *= np.cos(turn)
        start = round(start_s * RATE)
        joined[start : start + len(piece)] += piece[: len(joined) - start]
    return joined


@pytest.mark.slow
def test_no_seam_is_heard_between_segments(capsys) -> None:
    local = load_bundle("miniature").resolve()
    generator = AudioLdmGenerator(local.generator_path, AudioLdmSettings(num_inference_steps=8, precision="fp32"))
    clap = build_audio(local, EncoderSettings(precision="fp32"))
    scenes = [sample(WorldSettings(), "test", index) for index in range(60)]
    starts_s = [LENGTH_S * index for index in range(SEGMENTS)]
    tracks = []
    for number, kind in enumerate(STEADY):
        sounds = [render_sound(scene, length_s=5.12, sample_rate=RATE) for scene in scenes if scene.kind == kind]
        heard = clap.encode(np.stack([clap_waveform(sound, RATE, local.media_spec()) for sound in sounds[:2]]))
        conditions = np.stack([heard[index % len(heard)] for index in range(SEGMENTS)])
        seeds = [1000 * number + index for index in range(SEGMENTS)]
        tracks.append(Track(conditions, seeds, starts_s, LENGTH_S * SEGMENTS))
    together = [
        flux_at_borders(sound, starts_s[1:]) for sound in generator.generate_tracks(tracks, JoinSettings().overlap_s)
    ]
    baseline = [flux_at_borders(cross_faded(generator, track)[:-1], starts_s[1:]) for track in tracks]
    with capsys.disabled():
        print(f"\nspectral flux at borders / elsewhere: denoised together {np.mean(together):.3f}", end="")
        print(f" ({', '.join(f'{k} {v:.2f}' for k, v in zip(STEADY, together, strict=True))})", end="")
        print(f", cross-faded {np.mean(baseline):.3f}")
    assert np.mean(together) <= 1.1


def test_a_planted_click_is_found() -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=4 * RATE).astype(np.float32)
    assert 0.9 < flux_at_borders(noise, [1.0, 2.0, 3.0]) < 1.1
    spans = list(itertools.pairwise([0, RATE, 2 * RATE, 3 * RATE, 4 * RATE]))
    stepped = np.concatenate([noise[a:b] * level for (a, b), level in zip(spans, (1, 20, 1, 20), strict=True)])
    assert flux_at_borders(stepped, [1.0, 2.0, 3.0]) > 1.1
