"""Stage `adapt`: the UNet goes on, now also on what mappers make of pictures.

A mapped embedding is not quite that of a sound. On the validation split, the kinds that were made worst are recognised
more often after it.

Shapes: N scenes, V mappers, F frames of a scene, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core import storage
from v2a_core.miniature.clip import IMAGE_SIZE
from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.miniature.score.mapping import SeenAndHeard, train_and_map
from v2a_core.miniature.training.clip import load_clip
from v2a_core.miniature.training.conditions import Conditions
from v2a_core.miniature.training.data import Sounds
from v2a_core.miniature.training.loop import Plan, autocast, load_weights
from v2a_core.miniature.training.unet import HELD_OUT, UnetStage
from v2a_core.miniature.world import Scene, render_frames

Floats = npt.NDArray[np.float32]
Frames = list[npt.NDArray[np.float16]]

PLAN = Plan(
    steps=1000, batch=32, learning_rate=3e-4, weight_decay=0.01, betas=(0.9, 0.99), ema=0.998, validate_every=250
)
MAPPED_SHARE = 0.4
# Whose embeddings are met: one that regresses, one that samples.
MAPPERS = (("regression", "mlp"), ("diffusion", "transformer"))
# Stated here, not left to the score's defaults: when those change, this stage must still give the same weights.
SETTINGS = ScoreSettings(
    mapper_steps=200, mapper_batch=64, learning_rate=5e-4, transformer_depth=2, mlp_depth=2, sampling_steps=20,
    mapper_guidance=1.5,
)  # fmt: skip
SCENES_AT_ONCE = 16


class AdaptStage(UnetStage):
    """See `Stage`."""

    short_until = 0.0

    def __init__(self, work: Path, seed: int, plan: Plan = PLAN) -> None:
        super().__init__(work, seed, plan)
        self.unet.load_state_dict(load_weights(work / "unet", "unet"))
        mapped_NVD, held_out_ND = _mapped(self.sounds, self.held_out, self.conditions, work, seed)
        self.conditions = replace(self.conditions, mapped_NVD=mapped_NVD, mapped_share=MAPPED_SHARE)
        self.held_out_conditions["mapped"] = held_out_ND


def _mapped(
    sounds: Sounds, held_out: Sounds, conditions: Conditions, work: Path, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What mappers make of the pictures of the training set, and of a few that are held out; computed once.

    Each half of the training set is mapped by mappers that learned from the other half: what they learned by heart
    would be better than what they make of new pictures. Where sound and picture do not belong together, the embedding
    of the sound stays.
    """
    cache = work / "adapt" / "mapped.npz"
    if not cache.is_file():
        train = _see(work, seed, sounds.scenes)
        few = _see(work, seed, held_out.scenes[:HELD_OUT])
        mapped_NVD = conditions.sounds_ND[:, None].repeat(1, len(MAPPERS), 1).numpy()
        rows = np.arange(len(train))
        halves = (rows[: len(rows) // 2], rows[len(rows) // 2 :])
        held_out_mapped: list[Floats] = []
        for own, others in (halves, halves[::-1]):
            pairs = SeenAndHeard([train[row] for row in others], conditions.sounds_ND.numpy()[others])
            for view, kind in enumerate(MAPPERS):
                own_mapped, few_mapped = _map(kind, pairs, [[train[row] for row in own], few], seed)
                mapped_NVD[own, view] = own_mapped
                held_out_mapped.append(few_mapped)
        noisy = np.array([scene.noisy for scene in sounds.scenes])
        mapped_NVD[noisy] = conditions.sounds_ND[torch.from_numpy(noisy)][:, None].numpy()
        with storage.writing(str(cache)) as path:
            # Of the first half's mappers the last: the one that samples, as the paper's does.
            np.savez(path, train=mapped_NVD, held_out=held_out_mapped[len(MAPPERS) - 1])
    with np.load(cache) as arrays:
        return torch.from_numpy(arrays["train"]), torch.from_numpy(arrays["held_out"])


def _map(kind: tuple[str, str], pairs: SeenAndHeard, seen: list[Frames], seed: int) -> list[Floats]:
    """What a mapper makes of pictures after it has learned from pairs, each float32 (N, D)."""
    few = SeenAndHeard(pairs.frames[:48], pairs.sounds_ND[:48])
    sets = [(frames, range(len(frames))) for frames in seen]
    return train_and_map(SETTINGS.mapper(*kind), SETTINGS.training(), pairs, few, sets, seed).conditions


@torch.no_grad()
def _see(work: Path, seed: int, scenes: Sequence[Scene]) -> Frames:
    """CLIP embeddings of a frame a second of five seconds, float16 (F, D) each."""
    clip = load_clip(work, seed)
    found: Frames = []
    for start in range(0, len(scenes), SCENES_AT_ONCE):
        pictures = [
            render_frames(scene, length_s=5.0, size=IMAGE_SIZE, frames_per_second=1.0)
            for scene in scenes[start : start + SCENES_AT_ONCE]
        ]
        with autocast():
            image_ND = clip.embed_images(torch.from_numpy(np.concatenate(pictures)))
        found += np.split(image_ND.half().numpy(), len(pictures))
    return found


def build(work: Path, seed: int, plan: Plan = PLAN) -> AdaptStage:
    """The stage, with the weights of stage `unet`."""
    return AdaptStage(work, seed, plan)
