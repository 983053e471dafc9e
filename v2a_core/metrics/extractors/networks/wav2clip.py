"""Wav2CLIP: sounds in the space of CLIP ViT-B/32's images.

Source: H.-H. Wu et al., Wav2CLIP: Learning Robust Audio Representations From CLIP, ICASSP 2022, arXiv 2110.11499; the
encoder is a ResNet-18 (K. He et al., arXiv 1512.03385) of one input channel. Checkpoint: `Wav2CLIP.pt` of
descriptinc/lyrebird-wav2clip, release v0.1.0-alpha.

Shapes: B sounds, T samples, K frequencies, F frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from v2a_core.metrics.extractors.networks.sounds import Floats, Waveform, at_rate, in_batches, read_weights
from v2a_core.models.checkpoints import load_exactly
from v2a_core.models.unset import UnsetWeights

SAMPLE_RATE = 16_000
WINDOW, HOP = 512, 353
LOG_OFFSET = 1e-7
WIDTH = 512
_LEAST_SPREAD = 1e-9
_WANTED = ("audio_encoder.", "audio_transform.")
_PUBLISHED = "Wav2CLIP.pt of lyrebird-wav2clip v0.1.0-alpha"


class _Window(nn.Module):
    """Hann's window; the checkpoint may hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a short cut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            shrink = nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = nn.Sequential(shrink, nn.BatchNorm2d(after))

    def forward(self, x_BCKF: torch.Tensor) -> torch.Tensor:
        """(B, C, K, F) -> (B, C', K / stride, F / stride)."""
        inner = self.bn1(self.conv1(x_BCKF)).relu_()
        outer: torch.Tensor = self.bn2(self.conv2(inner)) + self.downsample(x_BCKF)
        return outer.relu_()


class _Encoder(nn.Module):
    """ResNet-18 on normalised log power spectra."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = _Window()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Residual(64, 64, 1), _Residual(64, 64, 1))
        self.layer2 = nn.Sequential(_Residual(64, 128, 2), _Residual(128, 128, 1))
        self.layer3 = nn.Sequential(_Residual(128, 256, 2), _Residual(256, 256, 1))
        self.layer4 = nn.Sequential(_Residual(256, WIDTH, 2), _Residual(WIDTH, WIDTH, 1))

    def forward(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Float32 (B, T) -> (B, 512)."""
        x_BCKF = nn.functional.max_pool2d(self.bn1(self.conv1(self.spectra(waveforms_BT)[:, None])).relu_(), 3, 2, 1)
        maps_BCKF: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x_BCKF))))
        return maps_BCKF.mean(dim=(2, 3))

    def spectra(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Log power (B, K, F) of mean 0 and deviation 1, of each sound alone.

        The published code takes mean and deviation over its whole batch, so that a sound's embedding depends on what
        it is embedded with. One sound in a batch, as its scores are computed, is the same as this.
        """
        window = self.spectrogram.get_buffer("window")
        spectra = torch.stft(waveforms_BT, WINDOW, HOP, window=window, pad_mode="reflect", return_complex=True)
        log_BKF = (spectra.real.square() + spectra.imag.square() + LOG_OFFSET).log()
        mean, spread = log_BKF.mean(dim=(1, 2), keepdim=True), log_BKF.std(dim=(1, 2), keepdim=True)
        return (log_BKF - mean) / (spread + _LEAST_SPREAD)


class _Transform(nn.Module):
    """From the encoder's space to CLIP's."""

    def __init__(self) -> None:
        super().__init__()
        self.sequential = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Identity(), nn.Linear(WIDTH, WIDTH))


class Wav2Clip(nn.Module):
    """The network with its front end; parameters have the published names.

    Attributes:
        sample_rate: Of the sound it takes, Hz.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder, self.audio_transform = _Encoder(), _Transform()

    def forward(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Float32 (B, T), T > 256 -> (B, 512), not normalised."""
        embedding: torch.Tensor = self.audio_transform.sequential(self.audio_encoder(waveforms_BT))
        return embedding

    def embed(self, waveforms: Sequence[Waveform], sample_rate: int) -> dict[str, Floats]:
        """Embed N sounds, each as if it were alone; one of less than 512 samples at 16 kHz is padded with silence.

        Args:
            waveforms: Float32 (T,), one channel each, of any lengths.
            sample_rate: Theirs, Hz; another than 16 kHz is resampled as torchaudio does.

        Returns:
            `embedding`, float32 (N, 512), not normalised.
        """
        sounds = at_rate(waveforms, sample_rate, SAMPLE_RATE, least=WINDOW)
        device = self.audio_encoder.conv1.weight.device
        (embedding,) = in_batches(lambda batch: (self(batch),), sounds, SAMPLE_RATE, device, (WIDTH,))
        return {"embedding": embedding}


def load(path: Path) -> Wav2Clip:
    """Wav2CLIP of the published checkpoint, without its training heads; float32, eval mode, on the CPU.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    marks = ("audio_encoder.layer4.1.conv2.weight", "audio_transform.sequential.3.weight")
    tensors = read_weights(path, marks, "Wav2CLIP", _PUBLISHED)
    wanted = {name: tensor for name, tensor in tensors.items() if name.startswith(_WANTED)}
    with UnsetWeights():
        network = Wav2Clip()
    load_exactly(network, wanted, path, may_lack=("num_batches_tracked", "spectrogram.window"))
    # Channels last saves a fourth of the time on CPUs: convolutions reorder nothing.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.eval()
