"""HTSAT, the network of CLAP's audio tower, as laion_clap has it.

Shapes: K frequencies of a spectrum, M mel bands.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.clap_config import ClapConfig
from v2a_core.media.mel_scale import mel_filters
from v2a_core.models.errors import ModelError

_LEAST_POWER = 1e-10


def build_htsat(config: ClapConfig) -> Any:
    """HTSAT with fresh weights, without what makes spectrograms.

    Raises:
        ModelError: When laion_clap is not installed.
    """
    sizes = config.htsat
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        return _htsat_module().HTSAT_Swin_Transformer(
            spec_size=sizes.spec_size,
            patch_size=sizes.patch_size,
            patch_stride=(sizes.patch_size, sizes.patch_size),
            num_classes=config.front_end.class_num,
            embed_dim=sizes.embed_dim,
            depths=list(sizes.depths),
            num_heads=list(sizes.num_heads),
            window_size=sizes.window_size,
            config=config.front_end,
        )


@functools.cache
def _htsat_module() -> Any:
    """laion_clap's `htsat` module, without the rest of that package and without librosa.

    `import laion_clap` downloads tokenizers from a model hub and fails without a network; its inner package imports
    the text towers of transformers. HTSAT needs neither, so its folder is given a package of its own here. Nor does it
    need torchlibrosa's front end, which loads numba and half of scipy: seconds, in every process that embeds sound.
    """
    prepare_torchvision()
    name = "_v2a_laion_clap_module"
    found = importlib.util.find_spec("laion_clap")
    if found is None or not found.submodule_search_locations:
        raise ModelError("the package laion_clap is not installed: pip install laion_clap")
    package = types.ModuleType(name)
    package.__path__ = [str(Path(found.submodule_search_locations[0]) / "clap_module")]
    sys.modules[name] = package
    module: Any = importlib.import_module(f"{name}.htsat")
    # A Fourier transform by convolution: the tower has a faster one.
    module.Spectrogram = lambda **_: None
    module.LogmelFilterBank = LogMelFilterBank
    return module


class LogMelFilterBank(nn.Module):
    """Power spectra to mel power in dB: what torchlibrosa's module of this name does for HTSAT, and its parameter.

    Args:
        sr: Sample rate, Hz.
        n_fft: Samples in a window.
        n_mels: M.
        fmin: Lower edge of the lowest band, Hz.
        fmax: Upper edge of the highest band, Hz.
    """

    def __init__(self, *, sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float, **_: Any) -> None:
        super().__init__()
        filters_KM = mel_filters(sr, n_fft, n_mels, fmin, fmax)
        self.melW = nn.Parameter(torch.from_numpy(filters_KM).float(), requires_grad=False)

    def forward(self, power: Tensor) -> Tensor:
        """Float32 (..., K) -> (..., M)."""
        decibels: Tensor = 10 * (power @ self.melW).clamp(min=_LEAST_POWER).log10()
        return decibels
