"""VGGish: 128 numbers of each 0.96 s of sound, what the Fréchet audio distance (FAD) was defined with.

Source: S. Hershey et al., CNN Architectures for Large-Scale Audio Classification, ICASSP 2017, arXiv 1609.09430, and
the front end of tensorflow/models, research/audioset/vggish. Checkpoint: `vggish-10086976.pth` of
harritaylor/torchvggish, release v0.1. As in FAD's implementations for PyTorch, the embedding is what the last layer
gives before its ReLU, without PCA and quantisation.

Shapes: T samples, W samples of a window, F frames, K frequencies, M mel bands, P patches of 96 frames.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from v2a_core.media.htk_mel import htk_mel_filters
from v2a_core.metrics.extractors.networks.sounds import Floats, Waveform, at_rate, read_weights
from v2a_core.models.checkpoints import load_exactly
from v2a_core.models.unset import UnsetWeights

SAMPLE_RATE = 16_000
WINDOW, HOP, POINTS = 400, 160, 512
MEL_BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 0.01
PATCH_FRAMES = 96
PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP + WINDOW  # 15,600: a shorter sound has no patch
WIDTH = 128
_LAYERS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
_BATCH = 32  # patches
_PUBLISHED = "vggish-10086976.pth of torchvggish v0.1"


def log_mel_patches(waveform_T: Waveform) -> Floats:
    """Natural logarithm of mel magnitudes, in patches that do not overlap.

    Args:
        waveform_T: Float32 at 16 kHz; full scale is 1, and the level matters.

    Returns:
        Float32 (P, 96, 64); what does not fill a window, or a patch, at the end is left out.
    """
    if len(waveform_T) < PATCH_SAMPLES:
        return np.zeros((0, PATCH_FRAMES, MEL_BANDS), np.float32)
    frames_FW = np.lib.stride_tricks.sliding_window_view(waveform_T.astype(np.float64), WINDOW)[::HOP]
    frames_FW = frames_FW[: len(frames_FW) // PATCH_FRAMES * PATCH_FRAMES]
    magnitude_FK = np.abs(np.fft.rfft(frames_FW * _window(), POINTS, axis=1))
    mel_FM: Floats = np.log(magnitude_FK @ _filters() + LOG_OFFSET).astype(np.float32)
    return mel_FM.reshape(-1, PATCH_FRAMES, MEL_BANDS)


class Vggish(nn.Module):
    """The network; parameters have torchvggish's names.

    Attributes:
        sample_rate: Of the sound it takes, Hz.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for layer in _LAYERS:
            if isinstance(layer, int):
                layers += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU(inplace=True)]
                channels = layer
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(channels * (PATCH_FRAMES // 16) * (MEL_BANDS // 16), 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, WIDTH),
        )  # fmt: skip

    def forward(self, patches_PFM: torch.Tensor) -> torch.Tensor:
        """Float32 (P, 96, 64) -> (P, 128), before the last ReLU."""
        maps_PCFM = self.features(patches_PFM[:, None])
        # TensorFlow's order of what a convolution gives: channels last.
        embedding: torch.Tensor = self.embeddings(maps_PCFM.permute(0, 2, 3, 1).flatten(1))
        return embedding

    def embed(self, waveforms: Sequence[Waveform], sample_rate: int) -> dict[str, Floats | npt.NDArray[np.int64]]:
        """Embed the patches of N sounds; a sound of less than 15,600 samples at 16 kHz (0.975 s) has none.

        Args:
            waveforms: Float32 (T,), one channel each, of any lengths.
            sample_rate: Theirs, Hz; another than 16 kHz is resampled as torchaudio does.

        Returns:
            `embedding`, float32 (P, 128), of all sounds' patches in order, and `sound`, int64 (P,), the number of the
            sound that each is of. Patches of one sound depend on each other: resample sounds, not rows.
        """
        patches = [log_mel_patches(sound) for sound in at_rate(waveforms, sample_rate, SAMPLE_RATE, least=1)]
        sound = np.repeat(np.arange(len(patches)), [len(part) for part in patches])
        patches_PFM = torch.from_numpy(np.concatenate([np.zeros((0, PATCH_FRAMES, MEL_BANDS), np.float32), *patches]))
        device = self.embeddings[0].weight.device
        with torch.inference_mode():
            found = [self(part.to(device)).cpu() for part in patches_PFM.split(_BATCH) if len(part)]
        return {"embedding": torch.cat([torch.zeros(0, WIDTH), *found]).numpy(), "sound": sound.astype(np.int64)}


def load(path: Path) -> Vggish:
    """VGGish of the published checkpoint; float32, eval mode, on the CPU.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    tensors = read_weights(path, ("features.0.weight", "embeddings.4.weight"), "VGGish", _PUBLISHED)
    with UnsetWeights():
        network = Vggish()
    load_exactly(network, tensors, path)
    # Channels last saves a fourth of the time on CPUs: poolings are vectorised, and convolutions reorder nothing.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.eval()


def _window() -> npt.NDArray[np.float64]:
    """Hann's, periodic."""
    window: npt.NDArray[np.float64] = np.hanning(WINDOW + 1)[:-1]
    return window


@functools.cache
def _filters() -> npt.NDArray[np.float64]:
    return htk_mel_filters(SAMPLE_RATE, POINTS, MEL_BANDS, LOWEST_HZ, HIGHEST_HZ)
