"""Soundtracks of several segments, denoised as a whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_audioldm import edit_json, save_miniature

from v2a_core.compute.memory import GenerationError
from v2a_core.generators.audioldm import decoding as pieces
from v2a_core.generators.audioldm.components import SAMPLERS
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.protocols import Track

OVERLAP_S = 0.64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_miniature(tmp_path_factory.mktemp("audioldm"))


def load(folder: Path, **options: Any) -> AudioLdmGenerator:
    return AudioLdmGenerator(folder, AudioLdmSettings(**{"num_inference_steps": 3, "precision": "fp32", **options}))


def unit(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 512)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def track(segments: int, seed: int, length_s: float = 1.5, rest_s: float = 0.3, **changes: Any) -> Track:
    starts_s = [length_s * index for index in range(segments)]
    seeds = [seed + index for index in range(segments)]
    return Track(unit(segments, seed), seeds, starts_s, length_s * segments + rest_s, **changes)


TRACKS = [track(1, 10), track(3, 20), track(2, 30, null_D=unit(1, 99)[0]), track(1, 40, rest_s=0.0)]


@pytest.mark.parametrize(
    ("sampler", "eta"),
    [
        ("dpm-solver++", 0.0),
        pytest.param("dpm-solver++-sde", 0.0, marks=pytest.mark.slow),
        pytest.param("ddim", 1.0, marks=pytest.mark.slow),
    ],
)
def test_a_track_is_the_same_in_any_batch_and_order(folder: Path, sampler: str, eta: float) -> None:
    choice = {"sampler": sampler, "eta": eta}
    together = list(load(folder, **choice).generate_tracks(TRACKS, OVERLAP_S))
    assert [len(waveform) for waveform in together] == [round(item.length_s * 16_000) for item in TRACKS]
    for micro_batch in (1, 2):
        again = list(load(folder, **choice, micro_batch=micro_batch).generate_tracks(TRACKS[::-1], OVERLAP_S))[::-1]
        for first, second in zip(together, again, strict=True):
            np.testing.assert_allclose(first, second, atol=1e-3)


def test_a_single_segment_is_what_generate_makes(folder: Path) -> None:
    item = Track(unit(1), [5], [0.0], 1.28)
    (made,) = load(folder).generate_tracks([item], OVERLAP_S)
    np.testing.assert_array_equal(made, load(folder).generate(item.conditions_ND, [5], 1.28)[0])


@pytest.mark.parametrize(
    "sampler", [name if name == "dpm-solver++" else pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS]
)
def test_windows_under_one_condition_are_near_the_whole(folder: Path, sampler: str) -> None:
    """Where the UNet sees no further than a window's edge, averaging windows changes nothing: here it nearly does not.

    A sampler with a memory that is mixed up between windows, or windows with noise of their own, would be far off.
    """
    generator = load(folder, sampler=sampler, num_inference_steps=6, guidance_scale=1.0)
    halves = Track(np.repeat(unit(1), 2, axis=0), [1, 2], [0.0, 2.56], 5.12)
    plan = generator._plan(halves, OVERLAP_S)
    assert len(plan.layout.windows[0].weights_H) < plan.layout.frames
    whole = dataclasses.replace(
        plan.layout,
        windows=tuple(dataclasses.replace(w, start=0, weights_H=_share(plan.layout, w)) for w in plan.layout.windows),
    )
    with torch.inference_mode():
        pieced = generator._denoise([plan], generator.parts.unet)
        at_once = generator._denoise([dataclasses.replace(plan, layout=whole)], generator.parts.unet)
    other = generator._denoise([dataclasses.replace(plan, seeds=[3, 4])], generator.parts.unet)
    assert (pieced - at_once).std() < 0.2 * (other - at_once).std()


def _share(layout: Any, window: Any) -> np.ndarray:
    share = np.zeros(layout.frames, np.float32)
    share[window.start : window.stop] = window.weights_H
    return share


def test_each_segment_is_heard_in_its_place(folder: Path) -> None:
    base = track(3, 1, length_s=2.0, rest_s=0.0)
    generator = load(folder, num_inference_steps=2)
    other = np.concatenate([base.conditions_ND[:2], unit(1, 77)])
    first, second = generator.generate_tracks([base, dataclasses.replace(base, conditions_ND=other)], OVERLAP_S)
    border = 4 * 16_000
    before, after = (np.abs(first - second)[part].max() for part in (slice(0, border - 8_000), slice(border, None)))
    assert after > 1e-2
    assert before < 0.2 * after


def test_out_of_memory_halves_the_windows_of_a_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(load(folder).generate_tracks(TRACKS, OVERLAP_S))
    generator = load(folder, micro_batch=4)
    forward, limit = generator.parts.unet.forward, 4

    def scarce(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(sample) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(generator.parts.unet, "forward", scarce)
    for first, second in zip(expected, generator.generate_tracks(TRACKS, OVERLAP_S), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-3)
    assert generator.micro_batch < 4
    limit = 1
    with pytest.raises(GenerationError, match="not even one of the windows"):
        list(generator.generate_tracks(TRACKS, OVERLAP_S))


@pytest.mark.slow
def test_a_track_that_overflows_is_made_in_fp32_and_its_neighbours_are_not_touched(folder: Path) -> None:
    generator = load(folder, precision="bf16")
    expected = list(generator.generate_tracks(TRACKS, OVERLAP_S))
    frames = generator._plan(TRACKS[1], OVERLAP_S).layout.frames
    offset = generator._plan(TRACKS[0], OVERLAP_S).layout.frames
    denoise = generator._denoise
    seen: list[tuple[torch.dtype, int]] = []

    def poison(plans: Any, unet: Any) -> torch.Tensor:
        tape_HWC = denoise(plans, unet)
        seen.append((generator.parts.unet.dtype, len(plans)))
        if generator.parts.unet.dtype == torch.bfloat16:
            tape_HWC[offset + frames - 1] = torch.nan
        return tape_HWC

    generator._denoise = poison  # type: ignore[method-assign]
    made = list(generator.generate_tracks(TRACKS, OVERLAP_S))
    assert seen == [(torch.bfloat16, 4), (torch.float32, 1)]
    for index in (0, 2, 3):
        np.testing.assert_array_equal(made[index], expected[index])
    (exact,) = load(folder).generate_tracks([TRACKS[1]], OVERLAP_S)
    np.testing.assert_allclose(made[1], exact, atol=5e-3)  # from weights that were rounded to bf16


@pytest.mark.slow
def test_latents_that_are_never_finite_give_nan(folder: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(folder, tmp_path / "broken")
    edit_json(broken / "vae" / "config.json", scaling_factor=1e-45)  # beyond float32 as well
    for waveform in load(broken, precision="bf16").generate_tracks(TRACKS[:2], OVERLAP_S):
        assert np.isnan(waveform).all()


def test_bad_tracks_are_refused_before_anything_is_made(folder: Path) -> None:
    generator = load(folder)
    with pytest.raises(ValueError, match="1 segments, 2 conditions and 1 seeds"):
        next(generator.generate_tracks([TRACKS[0], Track(unit(2), [1], [0.0], 1.0)], OVERLAP_S))
    with pytest.raises(ValueError, match="zero or not finite"):
        next(generator.generate_tracks([Track(np.zeros((1, 512), np.float32), [1], [0.0], 1.0)], OVERLAP_S))
    with pytest.raises(ValueError, match=r"windows of .* s: AudioLDM makes sounds of up to 20\.48 s"):
        next(generator.generate_tracks([Track(unit(2), [1, 2], [0.0, 20.0], 41.0)], OVERLAP_S))
    assert generator.seconds["unet"] == 0


def test_the_vocoder_in_pieces_is_the_vocoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = load(folder)
    mels = [torch.randn(frames, 64) for frames in (800, 130, 37)]
    with torch.inference_mode():
        whole = [generator.parts.vocoder(mel_TM[None])[0] for mel_TM in mels]
        monkeypatch.setattr(pieces, "PIECE_S", 1.0)
        for expected, made in zip(whole, generator._decoder.waveforms(mels), strict=True):
            np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 127, 128, 129, 137, 240, 248, 249, 1000, 45_000])
def test_pieces_of_latents_cover_them_evenly(frames: int) -> None:
    windows = pieces.vae_windows(frames, 0.08)
    shares = np.zeros(frames)
    for window in windows:
        shares[window.start : window.stop] += window.weights_H
    np.testing.assert_allclose(shares, 1, atol=1e-6)
    assert max(len(window.weights_H) for window in windows) <= 128
