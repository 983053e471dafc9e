"""Stage `envelope`: the adapter that makes the finished generator follow a curve in time.

It is trained on a bundle as it is shipped, on sounds alone, as `v2a train-adapter` does: the bundle's models stay as
they are, and all that the adapter learns of moments comes from the envelopes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from v2a_core.encoders import EncoderSettings, build_audio
from v2a_core.generators.audioldm.adapter import stride_of
from v2a_core.generators.audioldm.checkpoint import audioldm_source
from v2a_core.generators.audioldm.components import build
from v2a_core.media.log_mel import SAMPLE_RATE, log_mel
from v2a_core.media.resample import clap_waveform
from v2a_core.miniature.seeded import seeded
from v2a_core.miniature.training.clap import CLIP_SAMPLES
from v2a_core.miniature.training.conditions import MAX_NOISE
from v2a_core.miniature.training.data import FULL_SCALE, training_waveform, world
from v2a_core.miniature.training.on_bundle import EPOCHS, splits_of, train_subject
from v2a_core.miniature.training.pieces import Piece, cut, gathered
from v2a_core.miniature.training.vae import encode
from v2a_core.miniature.world.scenes import sample
from v2a_core.models import LocalBundle
from v2a_core.protocols import AudioEncoder
from v2a_core.timing.envelope import envelope
from v2a_core.training.adapter import AdapterSubject, sizes_of
from v2a_core.training.adapter_config import AdapterNetworkSettings, AdapterOptimizer, AdapterTraining, LessonSettings
from v2a_core.training.config import CheckpointSettings

NAME = "envelope"
SOUNDS, HELD_OUT = 2400, 48
NETWORK = AdapterNetworkSettings(width=96)
LESSONS = LessonSettings(condition_noise=MAX_NOISE)
# Stated here, not left to defaults: when those change, this stage must still give the same weights.
TRAINING = AdapterTraining(
    epochs=EPOCHS,
    max_steps=640,
    global_batch=16,
    optimizer=AdapterOptimizer(learning_rate=1e-3, weight_decay=0.01, warmup_steps=30, ema_decay=0.99),
    checkpoints=CheckpointSettings(every_steps=40),
)
AT_ONCE = 16


def train(work: Path, seed: int, local: LocalBundle) -> None:
    """Train the adapter.

    Args:
        work: Folder of the stage.
        seed: Of the world, the weights and the order of the sounds.
        local: The bundle.
    """
    listened = _Listened(seed, local)
    learned = gathered(work, cut("train", range(SOUNDS)), listened)
    splits = splits_of(learned, gathered(work, cut("validation", range(HELD_OUT)), listened))
    batch = TRAINING.global_batch
    with seeded(seed):
        subject = AdapterSubject(local, splits, NETWORK, LESSONS, batch=batch, seed=seed, device="cpu")
    # Of so few latents, attention written out is learned faster than the fused kernel of CPUs.
    with sdpa_kernel(SDPBackend.MATH):
        train_subject(NAME, subject, splits.train, TRAINING, work, seed)


class _Listened:
    """What is learned from, of the sounds of a piece; models are loaded when the first is missing.

    Args:
        seed: Of the world.
        local: The bundle.
    """

    def __init__(self, seed: int, local: LocalBundle) -> None:
        self._world, self._local = world(seed), local

    def __call__(self, piece: Piece) -> Mapping[str, npt.NDArray[np.generic]]:
        """Latents (N, C, H, W), conditions (N, D), curves (N, K, F), frames (N,), as `training.lessons` reads them."""
        starts = piece.indices[::AT_ONCE]
        parts = [self._part(piece, range(start, min(start + AT_ONCE, piece.indices.stop))) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @functools.cached_property
    def _vae(self) -> Any:
        return build(audioldm_source(self._local.generator), "vae")

    @functools.cached_property
    def _clap(self) -> AudioEncoder:
        return build_audio(self._local, EncoderSettings())

    def _part(self, piece: Piece, indices: range) -> dict[str, npt.NDArray[np.generic]]:
        scenes = [sample(self._world, piece.split, index) for index in indices]
        sounds_BT = np.stack([training_waveform(scene) for scene in scenes]) / np.float32(FULL_SCALE)
        latents_BCHW = encode(self._vae, log_mel(torch.from_numpy(sounds_BT))) * self._vae.config.scaling_factor
        frames = latents_BCHW.shape[2]
        # As those of a video of the world are made: of its first five seconds.
        spec = self._local.media_spec()
        heard = [clap_waveform(sound_T[:CLIP_SAMPLES], SAMPLE_RATE, spec) for sound_T in sounds_BT]
        values = frames * stride_of(sizes_of(self._local).frame_s)
        curves = [envelope(sound_T, SAMPLE_RATE).lasting(values) for sound_T in sounds_BT]
        return {
            "latents": latents_BCHW.half().numpy(),
            "condition": self._clap.encode(np.stack(heard)),
            "curve": np.stack([np.stack([curve.level_F, curve.onset_F]) for curve in curves]).astype(np.float16),
            "frames": np.full(len(indices), frames),
        }
