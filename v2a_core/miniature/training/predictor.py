"""Stage `predictor`: the network that says from pictures when and how loud it sounds, on the finished bundle's CLIP.

It is trained as `v2a train-timing` does, on scenes with their sounds, some of them in the other drawing style: what is
seen ten times a second, and the envelope of what is heard. Without these it told of pictures in that style little that
is true. How sure it may be, and what probability is an onset, are measured on the validation split.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from v2a_core.encoders import EncoderSettings, build_vision
from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.miniature.seeded import seeded
from v2a_core.miniature.training.data import world
from v2a_core.miniature.training.on_bundle import EPOCHS, splits_of, train_subject
from v2a_core.miniature.training.pieces import Piece, cut, gathered, stacked
from v2a_core.miniature.watching import watch
from v2a_core.miniature.world import KINDS, Scene, render_sound, sample
from v2a_core.miniature.world.scenes import Split
from v2a_core.models import LocalBundle
from v2a_core.protocols import VisionEncoder, Watched
from v2a_core.timing.envelope import level, onset_bumps
from v2a_core.training.config import CheckpointSettings
from v2a_core.training.predictor import PredictorSubject
from v2a_core.training.predictor_config import (
    PieceSettings,
    PredictorNetworkSettings,
    PredictorOptimizer,
    PredictorTraining,
)

NAME = "predictor"
SCENES, HELD_OUT = 4800, 288
PAINT_SHARE = 0.75  # of the scenes, the first ones; the rest is in the other style
LENGTH_S, RATE = 5.0, 10
NETWORK = PredictorNetworkSettings(width=128, hidden=128, dropout=0.2)
# Stated here, not left to defaults: when those change, this stage must still give the same weights.
PIECES = PieceSettings(
    least_share=0.4, embedding_noise=0.02, motion_noise=0.2, blur=1.0, onset_weight=0.5, shape_weight=0.5
)
TRAINING = PredictorTraining(
    epochs=EPOCHS,
    max_steps=1300,
    global_batch=32,
    optimizer=PredictorOptimizer(learning_rate=2e-3, weight_decay=0.05, warmup_steps=60, ema_decay=0.99),
    checkpoints=CheckpointSettings(every_steps=100),
)
AT_ONCE = len(KINDS)


def train(work: Path, seed: int, local: LocalBundle) -> None:
    """Train the predictor.

    Args:
        work: Folder of the stage.
        seed: Of the world, the weights and the order of the scenes.
        local: The bundle.
    """
    watched = _Watched(seed, local)
    learned = gathered(work, styled("train", SCENES), watched)
    splits = splits_of(learned, gathered(work, styled("validation", HELD_OUT), watched))
    with seeded(seed):
        subject = PredictorSubject(splits, NETWORK, PIECES, rate=RATE, batch=HELD_OUT, device="cpu")
    train_subject(NAME, subject, splits.train, TRAINING, work, seed)


def styled(split: Split, count: int) -> list[Piece]:
    """The first scenes of a split, and how they are drawn."""
    painted = round(PAINT_SHARE * count)
    return [*cut(split, range(painted)), *cut(split, range(painted, count), "ink")]


class _Watched:
    """What is learned from, of the scenes of a piece; the encoder is loaded when the first is missing.

    Args:
        seed: Of the world.
        local: The bundle.
    """

    def __init__(self, seed: int, local: LocalBundle) -> None:
        self._world, self._local = world(seed), local

    def __call__(self, piece: Piece) -> Mapping[str, npt.NDArray[np.generic]]:
        """Frames (N, G, D), motion (N, G), levels and onsets (N, F), count (N,), as `training.watched` reads them."""
        scenes = [sample(self._world, piece.split, index) for index in piece.indices]
        size = self._local.media_spec().image_size
        seen = (
            found
            for start in range(0, len(scenes), AT_ONCE)
            for found in watch(scenes[start : start + AT_ONCE], self._encoder, RATE, LENGTH_S, size, piece.style)
        )
        return stacked(_row(scene, item) for scene, item in zip(scenes, seen, strict=True))

    @functools.cached_property
    def _encoder(self) -> VisionEncoder:
        return build_vision(self._local, EncoderSettings())


def _row(scene: Scene, seen: Watched) -> dict[str, npt.ArrayLike]:
    sound_T = render_sound(scene, length_s=LENGTH_S, sample_rate=SAMPLE_RATE)
    level_F = level(sound_T)
    assert seen.frames_ND is not None
    return {
        "frames": seen.frames_ND,
        "motion": seen.motion_N,
        "level": level_F,
        "onset": onset_bumps(onset_times(sound_T, SAMPLE_RATE), len(level_F)),
        "count": len(seen.motion_N),
    }
