"""Seeded weights and sounds for networks: the same here and where expected values are made with other code."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from v2a_core.media.mel_scale import mel_filters
from v2a_core.metrics.extractors.networks import cnn14, imagebind, passt, vggish, wav2clip

SOUND_RATE = 16_000
FRONT_END = ("spectrogram_extractor.", "logmel_extractor.", "spectrogram.window")
# CNN14 normalises decibels first: what real sounds have, so that nothing after it is far from 1.
_DECIBELS = {"bn0.running_mean": -40.0, "bn0.running_var": 400.0}


def seeded_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights that keep activations near 1, each drawn by its name; none for what a front end is made of."""
    drawn = {name: shape for name, shape in shapes.items() if not any(part in name for part in FRONT_END)}
    return {name: torch.from_numpy(_tensor(name, shape)) for name, shape in drawn.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("log_logit_scale"):
        return np.full(shape, np.log(20), np.float32)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name in _DECIBELS:
        return np.full(shape, _DECIBELS[name], np.float32)
    if name.endswith("running_var"):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    drawn = np.float32(12**0.5) * (random.random(shape, dtype=np.float32) - np.float32(0.5))
    if len(shape) == 1:  # of a normalisation, or a bias
        return np.float32(0.1) * drawn + np.float32(name.endswith("weight"))
    gain = 2.0 if len(shape) == 4 else 1.0  # of a convolution, half of which a ReLU takes away
    return drawn * np.float32((gain / np.prod(shape[1:])) ** 0.5)


def stft_weights(window: int) -> dict[str, torch.Tensor]:
    """Fourier transform of a frame under Hann's window, as CNN14's checkpoints hold it."""
    frequency, sample = np.arange(window // 2 + 1)[:, None], np.arange(window)
    turn = np.exp(-2j * np.pi * frequency * sample / window) * np.hanning(window + 1)[:-1]
    parts = {"real": turn.real, "imag": turn.imag}
    names = {part: f"spectrogram_extractor.stft.conv_{part}.weight" for part in parts}
    return {names[part]: torch.from_numpy(parts[part]).float()[:, None] for part in parts}


def seeded_sounds(seconds: list[float], rate: int = SOUND_RATE) -> list[np.ndarray]:
    """Decaying tones in noise, float32, of these lengths."""
    random = np.random.default_rng(2026)
    sounds = []
    for length in seconds:
        time = np.arange(round(length * rate)) / rate
        tone = np.sin(2 * np.pi * random.uniform(200, 3000) * time) * np.exp(-3 * (time % 0.5))
        sounds.append((0.3 * tone + 0.03 * random.standard_normal(len(time))).astype(np.float32))
    return sounds


def seeded_film(frames: int, height: int, width: int) -> np.ndarray:
    """Waves of colour that move over noise, uint8 (frames, height, width, 3)."""
    random = np.random.default_rng(frames * height * width)
    time, down, along = np.ogrid[:frames, :height, :width]
    waves = [np.sin(down / (9 + 5 * n) + along / (30 - 7 * n) + (1 + n) * time) for n in range(3)]
    noise = random.normal(0, 12, (frames, height, width, 3))
    return np.clip(128 + 90 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def blank_weights(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Zeros of these names and shapes that take no room in a file."""
    return {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in weights.items()}


def published_weights(extractor: str) -> dict[str, Any]:
    """Seeded weights in the layout of the extractor's published checkpoint."""
    if extractor.startswith("cnn14"):
        frequencies, highest_hz = {"cnn14-16k": (257, 8000), "cnn14-32k": (513, 14_000)}[extractor]
        front_end = cnn14.FRONT_ENDS[frequencies]
        filters = torch.from_numpy(mel_filters(front_end.sample_rate, front_end.window, 64, 50, highest_hz)).float()
        front = stft_weights(front_end.window) | {"logmel_extractor.melW": filters}
        return {"model": seeded_weights(_shapes(cnn14.Cnn14(front_end))) | front}
    if extractor == "wav2clip":
        window = {"audio_encoder.spectrogram.window": torch.hann_window(512)}
        return seeded_weights(_shapes(wav2clip.Wav2Clip())) | window
    networks = {"passt": passt.Passt, "vggish": vggish.Vggish, "imagebind": imagebind.SoundTower}
    return seeded_weights(_shapes(networks[extractor]()))


def _shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
