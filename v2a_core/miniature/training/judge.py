"""Stage `judge`: the classifier of sounds, on real renders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from v2a_core.media.log_mel import log_mel
from v2a_core.metrics.extractors.judge import Judge
from v2a_core.miniature.training.data import HEARD, SAMPLES, load_sounds
from v2a_core.miniature.training.loop import Plan
from v2a_core.miniature.world import KINDS

PLAN = Plan(steps=1000, batch=32, learning_rate=2e-3, weight_decay=0.02)
CROP_S = (2.5, SAMPLES / 16_000)


class JudgeStage:
    """See `Stage`."""

    def __init__(self, work: Path, seed: int, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.train, self.held_out = load_sounds(work, seed, "train"), load_sounds(work, seed, "validation")
        torch.manual_seed(seed)
        self.judge = Judge(KINDS)
        self.modules = nn.ModuleDict({"judge": self.judge})
        self._rows = np.flatnonzero(self.train.kinds_N < HEARD.index("music"))

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Cross-entropy of the kind, squared error of the attributes."""
        rows = np.sort(rng.choice(self._rows, self.plan.batch, replace=False))
        samples = int(16_000 * rng.uniform(*CROP_S))
        start = int(rng.integers(SAMPLES - samples + 1))
        waveforms_BT = torch.from_numpy(self.train.waveforms(rows)[:, start : start + samples])
        logits_BK, heard_B3 = self.judge(log_mel(_disturb(waveforms_BT, rng)))
        kinds_B = torch.from_numpy(self.train.kinds_N[rows])
        attributes_B3 = torch.from_numpy(self.train.attributes_N3[rows])
        return {
            "kind": nn.functional.cross_entropy(logits_BK, kinds_B, label_smoothing=0.05),
            "attributes": 12 * nn.functional.mse_loss(heard_B3, attributes_B3),
        }

    def validate(self) -> Mapping[str, float]:
        """Accuracy, and correlation of the attributes."""
        probabilities_NK, heard_N3 = self.judge.read(self.held_out.mels(np.arange(len(self.held_out))))
        right_N = probabilities_NK.argmax(axis=1) == self.held_out.kinds_N
        truth_N3 = self.held_out.attributes_N3
        names = ("pitch", "tempo", "intensity")
        found = {name: np.corrcoef(heard_N3[:, i], truth_N3[:, i])[0, 1] for i, name in enumerate(names)}
        return {"accuracy": float(right_N.mean()), **found}


def _disturb(waveforms_BT: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Recordings differ in tone and noise: a tilt of the spectrum, and hiss from none to 30 dB below the sound."""
    tilt = float(rng.uniform(-0.4, 0.4))
    tilted_BT = waveforms_BT - tilt * torch.nn.functional.pad(waveforms_BT, (1, 0))[:, :-1]
    level_B1 = tilted_BT.std(dim=1, keepdim=True)
    hiss_B1 = level_B1 * 10 ** torch.empty(len(level_B1), 1).uniform_(-3.5, -1.5)
    return tilted_BT + hiss_B1 * torch.randn_like(tilted_BT)


def build(work: Path, seed: int, plan: Plan = PLAN) -> JudgeStage:
    """The stage, with fresh weights."""
    return JudgeStage(work, seed, plan)
