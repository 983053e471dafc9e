"""Curve predictors for tests: random weights, in the form in which they are trained, and what they look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from v2a_core.models import LocalBundle
from v2a_core.protocols import CURVE_HZ, Watched
from v2a_core.timing.predictors.gru_network import TimingNetwork
from v2a_core.timing.predictors.trained import SCHEMA_VERSION, TrainedConfig, save_predictor


def random_predictor(folder: Path, local: LocalBundle, **values: Any) -> Path:
    """A predictor `gru` for a bundle's vision encoder that is never unsure of what it has made up."""
    said: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "gru",
        "vision_space": local.vision_space,
        "vision_dim": local.vision_dim,
        "frames_per_second": 10,
        "width": 16,
        "hidden": 8,
        "onset_threshold": 0.5,
        "sure_spread": 0.5,
    }
    config = TrainedConfig(**{**said, **values})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        steps = CURVE_HZ // config.frames_per_second
        network = TimingNetwork(config.vision_dim, steps, config.width, config.hidden)
    for parameter in network.parameters():
        parameter.data *= 2
    save_predictor(str(folder), network.state_dict(), config)
    return folder


def watched(length_s: float, rate: float = 10.0, dim: int = 512, seed: int = 0, **values: Any) -> Watched:
    """A segment whose frames and motion are drawn; it jumps in its middle."""
    source = np.random.default_rng(seed)
    times_s_N = (np.arange(int(np.ceil(length_s * rate))) / rate).astype(np.float32)
    count = len(times_s_N)
    frames_ND = source.normal(size=dim) + 0.3 * source.normal(size=(count, dim))
    motion_N = 0.005 * source.random(count)
    motion_N[count // 2] = 0.1
    made = {
        "times_s_N": times_s_N,
        "motion_N": motion_N.astype(np.float32),
        "frames_ND": (frames_ND / np.linalg.norm(frames_ND, axis=1, keepdims=True)).astype(np.float16),
        "length_s": length_s,
    }
    return Watched(**{**made, **values})
