"""Stage `clap`: HTSAT and the text tower, on sounds and captions.

Shapes: B sounds, T samples, F spectra, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from v2a_core.encoders.clap_config import ClapConfig, FrontEnd, Htsat
from v2a_core.encoders.clap_tower import ClapAudioTower
from v2a_core.media.resample import fit_length
from v2a_core.miniature.clap import AUDIO_CONFIG, HTSAT_CONFIG, LOG_MEL_MEAN, LOG_MEL_STD, MLP_ACT
from v2a_core.miniature.text import build_text_encoder
from v2a_core.miniature.training.contrast import (
    Contrast,
    average_prompts,
    choose_rows,
    describe,
    linear_fit,
    prompts,
    zero_shot,
)
from v2a_core.miniature.training.data import SAMPLES, load_sounds
from v2a_core.miniature.training.loop import Plan, autocast, load_weights
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from transformers import RobertaTokenizerFast

Floats = npt.NDArray[np.float32]

PLAN = Plan(steps=2500, batch=48, learning_rate=1e-3, weight_decay=0.05)
CLIP_SAMPLES = 80_000  # 5 s: the segment of a video of the world


class ClapStage:
    """See `Stage`."""

    def __init__(self, work: Path, seed: int, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.train, self.held_out = load_sounds(work, seed, "train"), load_sounds(work, seed, "validation")
        self.towers = build_towers(seed)
        self.modules = nn.ModuleDict({"audio": self.towers.audio, "text": self.towers.text, "contrast": Contrast()})

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Contrastive, on what is heard, described anew each time."""
        rows = choose_rows(self.train.kinds_N, self.plan.batch, rng)
        waveforms_BT = repeat_and_pad(_crop(self.train.waveforms(rows), rng), self.towers.samples)
        described = describe([self.train.scenes[row].heard for row in rows], rng)
        with autocast():
            audio_BD = self.towers.embed_audio(torch.from_numpy(waveforms_BT))
            text_BD = self.towers.embed_text(described.texts)
        losses: dict[str, torch.Tensor] = self.modules["contrast"](audio_BD, text_BD, described)
        return losses

    def validate(self) -> Mapping[str, float]:
        """Zero-shot accuracy, and how well attributes can be read from embeddings."""
        waveforms_NT = self.held_out.waveforms(np.arange(len(self.held_out)))[:, :CLIP_SAMPLES]
        audio_ND = self.towers.embed_waveforms(waveforms_NT)
        prompts_KD = average_prompts(self.towers.embed_text(prompts()))
        return {
            "zero_shot": zero_shot(audio_ND, prompts_KD, self.held_out.kinds_N),
            "attributes": linear_fit(audio_ND, self.held_out.attributes_N3, self.held_out.kinds_N),
        }


class Towers:
    """CLAP's two towers in float32, in the shape in which they are trained."""

    def __init__(self, audio: ClapAudioTower, text: nn.Module, tokenizer: RobertaTokenizerFast) -> None:
        self.audio, self.text, self.tokenizer = audio, text, tokenizer
        self.samples = int(AUDIO_CONFIG["clip_samples"])

    def embed_audio(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """L2-normalised float32 (B, D) of float32 (B, `samples`)."""
        with torch.autocast("cpu", enabled=False):
            spectra_B1FM = self.audio.log_mel(waveforms_BT)
        branch = self.audio.audio_branch
        features_BC = branch.forward_features(branch.reshape_wav2img(spectra_B1FM))["embedding"]
        return functional.normalize(self.audio.audio_projection(features_BC).float(), dim=-1)

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised float32 (B, D)."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        embedding_BD = self.text(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
        return functional.normalize(embedding_BD.float(), dim=-1)

    @torch.no_grad()
    def embed_waveforms(self, waveforms_NT: Floats, batch: int = 48) -> torch.Tensor:
        """Embeddings (N, D) of peak-normalised waveforms of any length, in eval mode."""
        self.audio.eval()
        parts = []
        for start in range(0, len(waveforms_NT), batch):
            whole_BT = torch.from_numpy(repeat_and_pad(waveforms_NT[start : start + batch], self.samples))
            with autocast():
                parts.append(self.embed_audio(whole_BT))
        return torch.cat(parts)


def build_towers(seed: int) -> Towers:
    """Fresh towers with the classes' own initial weights."""
    sizes = {name: tuple(value) if isinstance(value, list) else value for name, value in HTSAT_CONFIG.items()}
    front_end = {name: value for name, value in AUDIO_CONFIG.items() if name in FrontEnd.model_fields}
    config = ClapConfig(
        model_name=str(AUDIO_CONFIG["model_name"]),
        front_end=FrontEnd.model_validate(front_end),
        htsat=Htsat.model_validate(sizes),
        joint_embed_shape=EMBEDDING_DIM,
        mlp_act=MLP_ACT,
    )
    torch.manual_seed(seed)
    audio = ClapAudioTower(config)
    audio.audio_branch.bn0.running_mean.fill_(LOG_MEL_MEAN)
    audio.audio_branch.bn0.running_var.fill_(LOG_MEL_STD**2)
    text, tokenizer = build_text_encoder(seed)
    return Towers(audio, text, tokenizer)


def load_towers(work: Path, seed: int) -> Towers:
    """The trained towers, in eval mode."""
    towers = build_towers(seed)
    towers.audio.load_state_dict(load_weights(work / "clap", "audio"))
    towers.text.load_state_dict(load_weights(work / "clap", "text"))
    towers.audio.eval()
    towers.text.eval()
    return towers


def repeat_and_pad(waveforms_BT: Floats, samples: int) -> Floats:
    """Float32 (B, samples) of sounds (B, T): as `clap_waveform` does, repeated as often as it fits, then silence."""
    repeats = max(1, samples // waveforms_BT.shape[1])
    return np.stack([fit_length(np.tile(waveform, repeats), samples) for waveform in waveforms_BT])


def _crop(waveforms_BT: Floats, rng: np.random.Generator) -> Floats:
    """Mostly five seconds, as the world's videos have; else any length and place. Peak 0.5 again, give or take."""
    if rng.random() < 0.6:
        cropped_BT = waveforms_BT[:, :CLIP_SAMPLES]
    else:
        length = int(rng.integers(32_000, SAMPLES))
        start = int(rng.integers(SAMPLES - length + 1))
        cropped_BT = waveforms_BT[:, start : start + length]
    peak_B1 = np.abs(cropped_BT).max(axis=1, keepdims=True)
    gain = np.float32(0.5 * 10 ** rng.uniform(-0.15, 0.0))
    loud_BT: npt.NDArray[np.float32] = cropped_BT * gain / (peak_B1 + np.float32(1e-4))
    return loud_BT


def build(work: Path, seed: int, plan: Plan = PLAN) -> ClapStage:
    """The stage, with fresh weights."""
    return ClapStage(work, seed, plan)
