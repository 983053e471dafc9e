"""Curve predictors in training: from what is seen ten times a second to the envelope of what is heard.

Shapes: B segments, G even times, L of them in a piece, D numbers of an embedding, F values of a curve, K levels.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from v2a_core.metrics.onsets import onset_agreement
from v2a_core.models.parts import PREDICTOR_FILE
from v2a_core.protocols import CURVE_HZ
from v2a_core.timing.envelope import MU
from v2a_core.timing.predictors.gru import AROUND_S, around, peaks
from v2a_core.timing.predictors.gru_network import LEVELS, TimingNetwork, level_places, told_levels
from v2a_core.training import distributed
from v2a_core.training.columns import Splits
from v2a_core.training.history import ValidationRow
from v2a_core.training.predictor_config import PieceSettings, PredictorNetworkSettings
from v2a_core.training.subject import Facts, Inputs, Network, Shown, Subject

TOLERANCE_S = 0.1
THRESHOLDS = tuple(round(0.1 + 0.05 * number, 2) for number in range(13))
NO_VARIANCE = 1e-4  # levels whose variance is far below are those of a sound that stays
SURE_SHARE = 0.95  # of what is held out is at least as sure


class PredictorValidation(ValidationRow, total=False):
    """How well a predictor does on segments it has not seen, and what its description has to say of that.

    Attributes:
        validation_correlation: Of predicted and true levels, the mean over segments; 0 where nothing changes.
        validation_onsets: Mean F1 of onsets within 0.1 s, at the best threshold.
        validation_threshold: What probability is an onset.
        validation_sure_spread: The standard deviation of levels that nearly all segments stay below.
        validation_unsure_spread: That of the levels in training: nothing is known.
    """

    validation_correlation: float
    validation_onsets: float
    validation_threshold: float
    validation_sure_spread: float
    validation_unsure_spread: float


class PredictorSubject(Subject):
    """See `Subject`.

    Args:
        splits: What is learned from.
        network: How large the predictor is.
        pieces: What is asked.
        rate: Frames a second.
        batch: Segments that are judged at once.
        device: Where.
    """

    file: ClassVar[str] = PREDICTOR_FILE

    def __init__(
        self,
        splits: Splits,
        network: PredictorNetworkSettings,
        pieces: PieceSettings,
        *,
        rate: int,
        batch: int,
        device: str,
    ) -> None:
        self._splits, self._pieces, self._batch, self._device = splits, pieces, batch, device
        self._steps = CURVE_HZ // rate
        self._dim = splits.train.tensors["frames"].shape[2]
        self.facts = Facts(splits.counts, splits.left_out)
        self.model = TimingNetwork(self._dim, self._steps, network.width, network.hidden, network.dropout).to(device)

    def draws(self, rows: int, generator: Generator) -> Inputs:
        """Noise, and which piece of each segment is seen; half of the steps see them whole."""
        device, frames = generator.device, self._splits.train.tensors["frames"].shape[1]
        whole, share = torch.rand(2, generator=generator, device=device)
        least = self._pieces.least_share
        share = torch.where(whole < 0.5, torch.ones_like(share), least + (1 - least) * share)
        return {
            "share": share.repeat(rows),
            "start": torch.rand(rows, generator=generator, device=device),
            "aside": torch.randn(rows, frames, self._dim, generator=generator, device=device),
            "faster": torch.randn(rows, generator=generator, device=device),
        }

    def losses(self, network: Network, given: Inputs) -> Tensor:
        """Cross-entropy of the levels and of the onsets; segments of one length together."""
        lengths_B = (given["share"] * given["count"]).round().long().clamp(min=1)
        losses_B = torch.zeros(len(lengths_B), device=lengths_B.device)
        for length in lengths_B.unique().tolist():
            rows_B = (lengths_B == length).nonzero()[:, 0]
            losses_B = losses_B.index_copy(0, rows_B, self._losses(network, given, rows_B, length))
        return losses_B

    def nothing(self) -> Inputs:
        """A segment of which nothing is seen or heard."""
        found = {
            name: torch.zeros(1, *values.shape[1:], device=self._device)
            for name, values in self._splits.train.tensors.items()
        }
        return {**found, "count": torch.ones(1, dtype=torch.int64, device=self._device)}

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[ValidationRow, Shown]:
        """How near levels and onsets are, and how sure the network is."""
        was_training = model.training
        model.eval()
        told = [self._told(cast(TimingNetwork, model), rows) for rows in self._own_rows()]
        model.train(was_training)
        scores_RS = np.concatenate([scores for scores, _ in told]) if told else np.zeros((0, 2 + len(THRESHOLDS)))
        rows, sums_S = self._gathered(scores_RS)
        loss, correlation, *agreements = (sums_S / rows).tolist()
        best = int(np.argmax(agreements))
        judged: PredictorValidation = {
            "validation_loss": loss,
            "validation_correlation": correlation,
            "validation_onsets": agreements[best],
            "validation_threshold": THRESHOLDS[best],
            "validation_sure_spread": self._quantile([spread_F for _, spreads in told for spread_F in spreads]),
            "validation_unsure_spread": max(1e-3, float(self._splits.train.tensors["level"].float().std())),
        }
        return judged, {}

    def _losses(self, network: Network, given: Inputs, rows_B: Tensor, length: int) -> Tensor:
        """Of segments with pieces of one length, each from a place of its own."""
        spare_B = given["count"][rows_B] - length
        start_B1 = (given["start"][rows_B] * (spare_B + 1)).long().clamp(max=spare_B)[:, None]
        places_BL = start_B1 + torch.arange(length, device=rows_B.device)
        values_BF = (places_BL[..., None] * self._steps + torch.arange(self._steps, device=rows_B.device)).flatten(1)
        frames_BLD = _piece(given["frames"][rows_B], places_BL)
        noise = self._pieces.embedding_noise * self._dim**-0.5
        frames_BLD = functional.normalize(frames_BLD + noise * _piece(given["aside"][rows_B], places_BL), dim=-1)
        faster_B1 = (self._pieces.motion_noise * given["faster"][rows_B])[:, None].exp()
        motion_BL = given["motion"][rows_B].gather(1, places_BL) * faster_B1
        level_BF = loudest_is_1(given["level"][rows_B].gather(1, values_BF))
        onset_BF = given["onset"][rows_B].gather(1, values_BF)
        return self._compared(cast(Any, network)(frames_BLD, motion_BL), level_BF, onset_BF)

    def _compared(self, said: tuple[Tensor, Tensor], level_BF: Tensor, onset_BF: Tensor) -> Tensor:
        """The loss of each segment, float32 (B,): of its levels, of its onsets, and of how its levels rise and fall."""
        logits_BFK, onsets_BF = (values.float() for values in said)
        wanted_BFK = blurred(level_BF, self._pieces.blur)
        level_B = -(wanted_BFK * logits_BFK.log_softmax(dim=-1)).sum(dim=-1).mean(dim=1)
        onset_B = functional.binary_cross_entropy_with_logits(onsets_BF, onset_BF, reduction="none").mean(dim=1)
        shape_B = 1 - alike(told_levels(logits_BFK)[0], level_BF)
        return level_B + self._pieces.onset_weight * onset_B + self._pieces.shape_weight * shape_B

    def _own_rows(self) -> list[Tensor]:
        """This worker's validation segments, those of one length together: padding would be seen."""
        counts_N = self._splits.validation.tensors["count"]
        own = distributed.share(torch.arange(len(counts_N)))
        return [
            part
            for count in counts_N[own].unique().tolist()
            for part in torch.split(own[counts_N[own] == count], self._batch)
        ]

    def _told(
        self, model: TimingNetwork, rows: Tensor
    ) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float32]]]:
        """Of each segment loss, correlation and F1 at every threshold (R, 2 + thresholds); and how sure it is."""
        given = self._splits.validation.inputs(rows)
        count = int(given["count"][0])
        values = count * self._steps
        level_RF, onset_RF = given["level"][:, :values], given["onset"][:, :values]
        said = model(functional.normalize(given["frames"][:, :count], dim=-1), given["motion"][:, :count])
        losses_R = self._compared(said, loudest_is_1(level_RF), onset_RF).cpu().numpy()
        made_RF, spread_RF = (item.cpu().numpy() for item in told_levels(said[0]))
        chances_RF, wanted_RF = said[1].sigmoid().cpu().numpy(), level_RF.cpu().numpy()
        times = [np.flatnonzero(row_F > 0.75) / CURVE_HZ for row_F in onset_RF.cpu().numpy()]
        scores = [
            [loss, _correlation(made_F, wanted_F), *_agreements(chances_F, times_s)]
            for loss, made_F, wanted_F, chances_F, times_s in zip(
                losses_R, made_RF, wanted_RF, chances_RF, times, strict=True
            )
        ]
        return np.array(scores, np.float64), [around(row_F, round(AROUND_S * CURVE_HZ)) for row_F in spread_RF]

    def _gathered(self, scores_RS: npt.NDArray[np.float64]) -> tuple[int, npt.NDArray[np.float64]]:
        """Rows, and sums of the scores, over all workers."""
        own = torch.from_numpy(np.array([len(scores_RS), *scores_RS.sum(axis=0)])).to(self._device)
        rows, *sums = distributed.sum_over_workers(own).tolist()
        return int(rows), np.array(sums)

    def _quantile(self, spreads: list[npt.NDArray[np.float32]]) -> float:
        """What nearly all values of all workers stay below, to a hundredth of a level's step."""
        bins = 100 * LEVELS
        own = np.concatenate(spreads) if spreads else np.zeros(0, np.float32)
        counts = torch.from_numpy(np.histogram(own, bins, (0.0, 1.0))[0].astype(np.int64)).to(self._device)
        shares = distributed.sum_over_workers(counts).cumsum(0)
        return float(((shares < SURE_SHARE * shares[-1]).sum() + 1) / bins)


def blurred(level_BF: Tensor, blur: float) -> Tensor:
    """Probabilities of the levels (B, F, K): a bell around the true ones, which are 0..1.

    Args:
        level_BF: The true ones.
        blur: Width of the bell, in levels.
    """
    distance_BFK = (level_BF[..., None] - level_places(level_BF.device)) * LEVELS
    return (-0.5 * (distance_BFK / blur).square()).softmax(dim=-1)


def alike(made_BF: Tensor, real_BF: Tensor) -> Tensor:
    """Correlation of levels over time (B,), -1..1; near 0 where one of them hardly changes."""
    away = [levels_BF - levels_BF.mean(dim=1, keepdim=True) for levels_BF in (made_BF, real_BF)]
    variances = [away_BF.square().mean(dim=1) + NO_VARIANCE for away_BF in away]
    return (away[0] * away[1]).mean(dim=1) / (variances[0] * variances[1]).sqrt()


def loudest_is_1(level_BF: Tensor) -> Tensor:
    """Levels of pieces of sounds, as `protocols.Curve.level_F`: in shares of their own loudest moment."""
    amplitude_BF = torch.expm1(level_BF * math.log1p(MU)) / MU
    loudest_B1 = amplitude_BF.amax(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.log1p(MU * amplitude_BF / loudest_B1) / math.log1p(MU)


def _piece(values_BGD: Tensor, places_BL: Tensor) -> Tensor:
    return values_BGD.gather(1, places_BL[..., None].expand(-1, -1, values_BGD.shape[2]))


def _correlation(made_F: npt.NDArray[np.float32], wanted_F: npt.NDArray[np.float32]) -> float:
    if min(made_F.std(), wanted_F.std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(made_F, wanted_F)[0, 1])


def _agreements(chances_F: npt.NDArray[np.float32], times_s: npt.NDArray[np.float64]) -> list[float]:
    """F1 at each threshold; 1 where nothing begins, and nothing is said to."""
    found = [onset_agreement(peaks(chances_F, threshold) / CURVE_HZ, times_s, TOLERANCE_S) for threshold in THRESHOLDS]
    return [1.0 if value is None else float(value) for value in found]
