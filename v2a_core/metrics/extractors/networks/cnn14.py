"""CNN14 of the PANNs: a convolutional tagger of AudioSet's 527 classes, at 16 and at 32 kHz.

Source: Q. Kong et al., PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition,
IEEE/ACM TASLP 28 (2020), arXiv 1912.10211, table 1. Checkpoints: `Cnn14_16k_mAP=0.438.pth` and
`Cnn14_mAP=0.431.pth` of https://zenodo.org/records/3987831.

Shapes: B sounds, T samples, F frames, K frequencies, M mel bands, C channels, W samples of a window.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from v2a_core.metrics.extractors.networks.sounds import Floats, Waveform, at_rate, in_batches, read_weights
from v2a_core.models.checkpoints import load_exactly
from v2a_core.models.errors import ModelError
from v2a_core.models.unset import UnsetWeights

CLASSES = 527
WIDTH = 2048
MEL_BANDS = 64
LEAST_SAMPLES = 32_000  # as audioldm_eval pads; the poolings need 32 frames
_CHANNELS = (1, 64, 128, 256, 512, 1024, 2048)
_LEAST_POWER = 1e-10
_MEL_WEIGHTS = "logmel_extractor.melW"
_PUBLISHED = "Cnn14_16k_mAP=0.438.pth or Cnn14_mAP=0.431.pth of the PANNs"


class FrontEnd(NamedTuple):
    """Spectrograms of a published checkpoint: rate in Hz, window and hop in samples."""

    sample_rate: int
    window: int
    hop: int


# By the number of frequencies of the checkpoint's mel filters.
FRONT_ENDS = {257: FrontEnd(16_000, 512, 160), 513: FrontEnd(32_000, 1024, 320)}


class _Stft(nn.Module):
    """A Fourier transform by matrices, which the checkpoint holds: cosine and negative sine times the window."""

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self._hop, self._window = front_end.hop, front_end.window
        shape = (1, front_end.window // 2 + 1, front_end.window, front_end.hop)
        self.conv_real, self.conv_imag = nn.Conv1d(*shape, bias=False), nn.Conv1d(*shape, bias=False)

    def forward(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Power (B, F, K), centred, mirrored at the ends."""
        half = self._window // 2
        padded = nn.functional.pad(waveforms_BT[:, None], (half, half), mode="reflect")[:, 0]
        frames_BFW = padded.unfold(-1, self._window, self._hop)
        real, imaginary = (frames_BFW @ part.weight[:, 0].T for part in (self.conv_real, self.conv_imag))
        return real.square() + imaginary.square()


class _Spectrogram(nn.Module):
    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.stft = _Stft(front_end)


class _LogMel(nn.Module):
    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.empty(front_end.window // 2 + 1, MEL_BANDS))

    def forward(self, power_BFK: torch.Tensor) -> torch.Tensor:
        """Mel power in dB, (B, F, M)."""
        return 10 * (power_BFK @ self.melW).clamp(min=_LEAST_POWER).log10()


class _Block(nn.Module):
    """Two 3 x 3 convolutions and an average pooling."""

    def __init__(self, before: int, after: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self._pool = pool

    def forward(self, x_BCFM: torch.Tensor) -> torch.Tensor:
        """(B, C, F, M) -> (B, C', F / pool, M / pool)."""
        x_BCFM = self.bn1(self.conv1(x_BCFM)).relu_()
        x_BCFM = self.bn2(self.conv2(x_BCFM)).relu_()
        return nn.functional.avg_pool2d(x_BCFM, self._pool) if self._pool > 1 else x_BCFM


class Cnn14(nn.Module):
    """The network with its front end; parameters have the published names.

    Args:
        front_end: Which of the published ones.

    Attributes:
        sample_rate: Of the sound it takes, Hz.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.sample_rate = front_end.sample_rate
        self.spectrogram_extractor = _Spectrogram(front_end)
        self.logmel_extractor = _LogMel(front_end)
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        for number, (before, after) in enumerate(itertools.pairwise(_CHANNELS), start=1):
            self.add_module(f"conv_block{number}", _Block(before, after, pool=2 if number < 6 else 1))
        self.fc1 = nn.Linear(WIDTH, WIDTH)
        self.fc_audioset = nn.Linear(WIDTH, CLASSES)

    def forward(self, waveforms_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding (B, 2048), not negative, and logits (B, 527) of waveforms, float32 (B, T)."""
        mel_BFM = self.logmel_extractor(self.spectrogram_extractor.stft(waveforms_BT))
        x_BCFM = self.bn0(mel_BFM.transpose(1, 2)[..., None]).transpose(1, 2)[:, None, ..., 0]
        for number in range(1, len(_CHANNELS)):
            x_BCFM = self.get_submodule(f"conv_block{number}")(x_BCFM)
        series_BCF = x_BCFM.mean(dim=3)
        embedding_BC = self.fc1(series_BCF.amax(dim=2) + series_BCF.mean(dim=2)).relu()
        return embedding_BC, self.fc_audioset(embedding_BC)

    def embed(self, waveforms: Sequence[Waveform], sample_rate: int) -> dict[str, Floats]:
        """Embed N sounds; shorter ones are padded with silence to 32,000 samples of the network's rate.

        Args:
            waveforms: Float32 (T,), one channel each, of any lengths.
            sample_rate: Theirs, Hz; others than the network's are resampled as torchaudio does.

        Returns:
            `embedding`, float32 (N, 2048), at least 0, and `logits`, float32 (N, 527), of AudioSet's classes.
        """
        sounds = at_rate(waveforms, sample_rate, self.sample_rate, LEAST_SAMPLES)
        device = self.fc1.weight.device
        embedding, logits = in_batches(self, sounds, self.sample_rate, device, (WIDTH, CLASSES))
        return {"embedding": embedding, "logits": logits}


def load(path: Path, sample_rate: int | None = None) -> Cnn14:
    """CNN14 of a published checkpoint, at the rate that its mel filters are for; float32, eval mode, on the CPU.

    Args:
        path: The file.
        sample_rate: The rate that is wanted, Hz; None: any.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    tensors = read_weights(path, (_MEL_WEIGHTS, "conv_block6.conv2.weight", "fc_audioset.weight"), "CNN14", _PUBLISHED)
    frequencies = tensors[_MEL_WEIGHTS].shape[0]
    if frequencies not in FRONT_ENDS:
        raise ModelError(
            f"{path} is a CNN14 whose mel filters have {frequencies} frequencies; known are those with "
            f"{' and '.join(map(str, FRONT_ENDS))}: give {_PUBLISHED}"
        )
    rate = FRONT_ENDS[frequencies].sample_rate
    if sample_rate not in (None, rate):
        raise ModelError(f"{path} is the CNN14 of {rate} Hz, and that of {sample_rate} Hz is wanted: give {_PUBLISHED}")
    with UnsetWeights():
        network = Cnn14(FRONT_ENDS[frequencies])
    load_exactly(network, tensors, path, may_lack=("num_batches_tracked",))
    return network.eval()
