"""Envelope adapters in training: the frozen generator's own error on sounds, with their envelopes.

All that the adapter learns of moments comes from the envelope; the generator's weights stay as they are.

Shapes: B sounds, C latent channels, H and W latent frames and bins, F values of a curve, D numbers of an embedding.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from v2a_core.generators.adapters import AdapterConfig
from v2a_core.generators.audioldm.adapter import added
from v2a_core.generators.audioldm.adapter_file import build_adapter, describe_adapter
from v2a_core.generators.audioldm.checkpoint import audioldm_source
from v2a_core.generators.audioldm.components import Geometry, build, build_scheduler, read_sizes
from v2a_core.models import LocalBundle
from v2a_core.models.parts import ADAPTER_FILE
from v2a_core.models.unset import Described
from v2a_core.training import distributed
from v2a_core.training.adapter_config import AdapterNetworkSettings, LessonSettings
from v2a_core.training.columns import Splits
from v2a_core.training.disturbance import disturbance_draws, disturbed
from v2a_core.training.history import ValidationRow
from v2a_core.training.subject import Facts, Inputs, Network, Shown, Subject

JUDGE_STREAM = 4
# Noise levels that are judged by, as shares of the schedule: with less noise, what moves when is decided.
_JUDGED = (0.4, 1.0)


class AdapterValidation(ValidationRow, total=False):
    """How far the generator is off, by what it is given: the sounds' own curves, none, or those of others."""

    validation_loss_free: float
    validation_loss_others: float


class AdapterSubject(Subject):
    """See `Subject`.

    Args:
        local: The bundle whose generator is steered.
        splits: What is learned from.
        network: How large the adapter is.
        lessons: What is asked.
        batch: Sounds that are judged at once.
        seed: Of the run, for the noise that is judged with.
        device: Where.
    """

    file: ClassVar[str] = ADAPTER_FILE

    def __init__(
        self,
        local: LocalBundle,
        splits: Splits,
        network: AdapterNetworkSettings,
        lessons: LessonSettings,
        *,
        batch: int,
        seed: int,
        device: str,
    ) -> None:
        source = audioldm_source(local.generator)
        self._unet: Any = build(source, "unet").to(device).requires_grad_(False)
        self._scheduler = build_scheduler("ddim", source.scheduler_config())
        self._steps = int(self._scheduler.config.num_train_timesteps)
        self._splits, self._lessons, self._batch, self._seed, self._device = splits, lessons, batch, seed, device
        self.facts = Facts(splits.counts, splits.left_out)
        described = describe(local, network, {})
        self.model = self._adapter = build_adapter(described, self._unet.config).to(device)

    def draws(self, rows: int, generator: Generator) -> Inputs:
        """Noise, its level, what is done to conditions and curves."""
        shape, device = self._splits.train.tensors["latents"].shape[1:], generator.device
        dim = self._splits.train.tensors["condition"].shape[1]
        shares_B = torch.rand(rows, generator=generator, device=device)
        # A level of noise from each part of the schedule: steps are more alike.
        order_B = torch.randperm(rows, generator=generator, device=device)
        return {
            "share": ((order_B + shares_B) / rows) ** self._lessons.early,
            "noise": torch.randn(rows, *shape, generator=generator, device=device),
            "aside": torch.randn(rows, dim, generator=generator, device=device) * dim**-0.5,
            "aside_length": torch.rand(rows, generator=generator, device=device) * self._lessons.condition_noise,
            **disturbance_draws(rows, generator),
        }

    def losses(self, network: Network, given: Inputs) -> Tensor:
        """The generator's own error with the curves, on the frames of the sounds."""
        level_BF, onset_BF = given["curve"].unbind(dim=1)
        curves_BKF = torch.stack(disturbed(level_BF, onset_BF, given, self._lessons.curves), dim=1)
        aside_BD = given["aside_length"][:, None] * given["aside"]
        condition_BD = functional.normalize(given["condition"] + aside_BD, dim=-1)
        return self._errors(given, given["share"], given["noise"], condition_BD, network(curves_BKF))

    def nothing(self) -> Inputs:
        """A silent sound."""
        return {
            name: torch.zeros(1, *values.shape[1:], device=self._device) if name != "frames" else self._one()
            for name, values in self._splits.train.tensors.items()
        }

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[ValidationRow, Shown]:
        """The error on other sounds with their curves, without one, and with those of others."""
        held_out = self._splits.validation
        sums_3 = torch.zeros(3, dtype=torch.float64, device=self._device)
        places = torch.arange(len(held_out))
        for number, rows in enumerate(torch.split(places, self._batch)):
            own = distributed.share(torch.arange(len(rows)))
            noise = self._judged_with(rows, number)
            if not len(own):
                continue
            given = held_out.inputs(rows[own])
            others = held_out.inputs((rows[own] + 1) % len(held_out))
            share_B, noise_BCHW = noise["share"][own], noise["noise"][own]
            for place, curves in enumerate((given["curve"], None, others["curve"])):
                residuals = [] if curves is None else model(curves)
                errors_B = self._errors(given, share_B, noise_BCHW, given["condition"], residuals)
                sums_3[place] += errors_B.double().sum()
        own_loss, free, others_loss = (distributed.sum_over_workers(sums_3) / len(held_out)).tolist()
        judged: AdapterValidation = {
            "validation_loss": own_loss,
            "validation_loss_free": free,
            "validation_loss_others": others_loss,
        }
        return judged, {}

    def _judged_with(self, rows: Tensor, number: int) -> dict[str, Tensor]:
        """Noise and its levels, the same each time and for any number of workers."""
        low, high = _JUDGED
        share_B = low + (high - low) * rows.to(self._device) / len(self._splits.validation)
        generator = distributed.generator(self._device, self._seed, JUDGE_STREAM, number)
        shape = self._splits.train.tensors["latents"].shape[1:]
        return {
            "share": share_B,
            "noise": torch.randn(len(rows), *shape, generator=generator, device=self._device),
        }

    def _errors(
        self, given: Inputs, share_B: Tensor, noise_BCHW: Tensor, condition_BD: Tensor, residuals: Any
    ) -> Tensor:
        """Squared error of each sound at levels of noise given as shares of the schedule, float32 (B,)."""
        latents_BCHW = given["latents"]
        times_B = (share_B * self._steps).long().clamp(max=self._steps - 1)
        noisy_BCHW = self._scheduler.add_noise(latents_BCHW, noise_BCHW, times_B)
        wanted_BCHW = noise_BCHW
        if self._scheduler.config.prediction_type == "v_prediction":
            wanted_BCHW = self._scheduler.get_velocity(latents_BCHW, noise_BCHW, times_B)
        with added(self._unet, self._adapter.entries if residuals else [], residuals):
            made_BCHW = self._unet(noisy_BCHW, times_B, encoder_hidden_states=None, class_labels=condition_BD).sample
        error_BH = (made_BCHW.float() - wanted_BCHW).square().mean(dim=(1, 3))
        is_sound_BH = torch.arange(error_BH.shape[1], device=error_BH.device) < given["frames"][:, None]
        error_B: Tensor = (error_BH * is_sound_BH).sum(dim=1) / is_sound_BH.sum(dim=1)
        return error_B

    def _one(self) -> Tensor:
        return torch.ones(1, dtype=torch.int64, device=self._device)


def describe(local: LocalBundle, network: AdapterNetworkSettings, training: dict[str, Any]) -> AdapterConfig:
    """What the folder of an adapter for a bundle's generator says of it.

    Args:
        local: The bundle.
        network: How large it is.
        training: What it was trained with.
    """
    described = describe_adapter(local, sizes_of(local), network.width, training)
    return described.model_copy(update={"blocks": network.blocks})


def sizes_of(local: LocalBundle) -> Geometry:
    """The sizes of a bundle's generator; reads no weights."""
    return read_sizes(audioldm_source(local.generator))


def count_parameters(local: LocalBundle, network: AdapterNetworkSettings) -> int:
    """Of an adapter, without making one."""
    with Described():
        adapter = build_adapter(describe(local, network, {}), audioldm_source(local.generator).config("unet"))
    return sum(parameter.numel() for parameter in adapter.parameters())
