"""The network of CLAP's audio tower: laion_clap's HTSAT and the projection into the space that is shared with text.

Shapes: B waveforms, T samples (or spectra, inside), M mel bands, F channels of the last stage, D numbers of an
embedding.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from v2a_core.encoders.clap_checkpoint import load_clap
from v2a_core.encoders.clap_config import ClapConfig
from v2a_core.encoders.htsat import build_htsat
from v2a_core.models.checkpoints import check_fit, load_exactly
from v2a_core.models.errors import ModelError
from v2a_core.models.unset import UnsetWeights

_FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")
# What follows from the architecture, and the classifier, which the embedding does not use.
_MAY_LACK = (*_FRONT_END, "relative_position_index", "attn_mask", "num_batches_tracked", "tscam_conv.", "head.")


class ClapAudioTower(nn.Module):
    """HTSAT and the audio projection, with laion_clap's names of parameters.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ClapConfig) -> None:
        super().__init__()
        self.audio_branch = build_htsat(config)
        self._window_size, self._hop_size = config.front_end.window_size, config.front_end.hop_size
        activation = nn.ReLU() if config.mlp_act == "relu" else nn.GELU()
        dim = config.joint_embed_shape
        self.audio_projection = nn.Sequential(nn.Linear(config.features, dim), activation, nn.Linear(dim, dim))

    def to_precision(self, dtype: torch.dtype) -> None:
        """Let transformer and projection compute in `dtype`; the front end stays in float32."""
        for name, module in self.audio_branch.named_children():
            if f"{name}." not in _FRONT_END and name != "bn0":
                module.to(dtype)
        self.audio_projection.to(dtype)

    def log_mel(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Normalised log-mel spectrogram, float32 (B, 1, T, M)."""
        branch = self.audio_branch
        window = torch.hann_window(self._window_size, device=waveforms_BT.device)
        spectra_BKT = torch.stft(
            waveforms_BT, self._window_size, self._hop_size, window=window, pad_mode="reflect", return_complex=True
        )
        power_B1TK = (spectra_BKT.real.square() + spectra_BKT.imag.square()).transpose(1, 2)[:, None]
        mel_B1TM = branch.logmel_extractor(power_B1TK)
        normal: torch.Tensor = branch.bn0(mel_B1TM.transpose(1, 3)).transpose(1, 3)
        return normal

    def forward(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Embed waveforms, float32 (B, T) -> (B, D), not normalised.

        HTSAT's own forward pass as far as the embedding, in two precisions: without its training branches
        (SpecAugment, mix-up) and its classifier.
        """
        branch = self.audio_branch
        image = branch.reshape_wav2img(self.log_mel(waveforms_BT)).to(self.audio_projection[0].weight.dtype)
        tokens = branch.patch_embed(image)
        if branch.ape:
            tokens = tokens + branch.absolute_pos_embed
        for layer in branch.layers:
            tokens, _ = layer(tokens)
        embedding_BD: torch.Tensor = self.audio_projection(branch.norm(tokens).mean(1))
        return embedding_BD


def load_audio_tower(config: ClapConfig, checkpoint: Path) -> ClapAudioTower:
    """The audio tower of a CLAP checkpoint, in eval mode, float32, on the CPU.

    Raises:
        ModelError: When the checkpoint has no audio tower, or one of another architecture.
    """
    tower, weights = _unset_tower(config, checkpoint)
    load_exactly(tower, weights, checkpoint, may_lack=_MAY_LACK)
    return tower.eval()


def check_audio_tower(config: ClapConfig, checkpoint: Path) -> None:
    """Compare names, shapes and front end alone; see `load_audio_tower`."""
    tower, weights = _unset_tower(config, checkpoint)
    check_fit(tower, weights, checkpoint, may_lack=_MAY_LACK)


def _unset_tower(config: ClapConfig, checkpoint: Path) -> tuple[ClapAudioTower, dict[str, torch.Tensor]]:
    """The tower without its weights, and them."""
    wanted = ("audio_branch.", "audio_projection.")
    tensors = {name: value for name, value in load_clap(checkpoint).items() if name.startswith(wanted)}
    if not tensors:
        raise ModelError(
            f"{checkpoint} holds no CLAP audio tower (no key begins with 'audio_branch.'); the diffusers folders of "
            "AudioLDM hold the text tower only: take laion's or AudioLDM's original checkpoint"
        )
    with UnsetWeights():
        tower = ClapAudioTower(config)
    _check_front_end(tower, tensors, checkpoint)
    # Recomputed from the config instead: a checkpoint in half precision has only a coarse copy.
    front_end = tuple(f"audio_branch.{part}" for part in _FRONT_END)
    weights = {name: value for name, value in tensors.items() if not name.startswith(front_end)}
    return tower, weights


def _check_front_end(tower: ClapAudioTower, tensors: dict[str, torch.Tensor], checkpoint: Path) -> None:
    """A checkpoint with another mel filter bank than the config's was trained on other spectrograms."""
    name = "audio_branch.logmel_extractor.melW"
    theirs, ours = tensors.get(name), tower.audio_branch.logmel_extractor.melW
    if theirs is None:
        return
    if theirs.shape != ours.shape or not torch.allclose(theirs.float(), ours, rtol=1e-2, atol=1e-4):
        raise ModelError(
            f"{checkpoint} was made for another mel front end (its {name} of shape {tuple(theirs.shape)} is not the "
            "one that sample_rate, window_size, mel_bins, fmin and fmax give): name its model config in `audio.config`"
        )
