"""AudioLDM's log-mel spectrogram: what its VAE and vocoder speak.

Source: haoheliu/AudioLDM, audioldm/audio/stft.py (TacotronSTFT) and audioldm/utils.py (default_audioldm_config).

Shapes: B waveforms, T samples, F frames, K frequencies, M mel bands.
"""

from __future__ import annotations

import functools

import torch

from v2a_core.media import mel_scale

SAMPLE_RATE = 16_000
N_FFT = 1024
HOP_LENGTH = 160
MEL_BINS = 64
MAX_HZ = 8000.0
FLOOR = 1e-5


def log_mel(waveforms_BT: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of the mel magnitudes.

    Args:
        waveforms_BT: Float32 at 16 kHz, at least 513 samples.

    Returns:
        Float32 (B, T // 160, 64), from ln(1e-5) = -11.5 upwards.
    """
    window = torch.hann_window(N_FFT, device=waveforms_BT.device)
    spectrum_BKF = torch.stft(waveforms_BT, N_FFT, HOP_LENGTH, window=window, pad_mode="reflect", return_complex=True)
    mel_BFM = spectrum_BKF.abs().transpose(1, 2) @ mel_filters().to(waveforms_BT.device)
    return mel_BFM[:, : waveforms_BT.shape[1] // HOP_LENGTH].clamp(min=FLOOR).log()


def level(mels_BFM: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of the level of each sound: the root of its mean mel power, (B, 1, 1)."""
    return 0.5 * (2 * mels_BFM).exp().mean(dim=(1, 2), keepdim=True).log()


@functools.cache
def mel_filters() -> torch.Tensor:
    """Slaney's mel filter bank, 0..8 kHz, float32 (K, M)."""
    return torch.from_numpy(mel_scale.mel_filters(SAMPLE_RATE, N_FFT, MEL_BINS, 0.0, MAX_HZ)).float()
