"""The architecture of a CLAP audio tower, as its JSON file says; laion's own model configs are such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pydantic

from v2a_core import storage
from v2a_core.config import Settings, setting
from v2a_core.models.errors import ModelError

# laion_clap/clap_module/htsat.py, create_htsat_model
_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2)},
    "base": {"embed_dim": 128, "depths": (2, 2, 12, 2)},
    "large": {"embed_dim": 256, "depths": (2, 2, 12, 2)},
}
_KNOWN = {f"HTSAT-{size}": size for size in _SIZES}


class FrontEnd(Settings):
    """The mel front end, by laion's names; defaults as HTSAT-tiny."""

    sample_rate: int = setting(48_000, "rate of the waveform", unit="Hz", ge=1)
    clip_samples: int = setting(480_000, "length of the waveform", unit="samples", ge=1)
    window_size: int = setting(1024, "length of the Hann window and the FFT", unit="samples", ge=2)
    hop_size: int = setting(480, "step between spectra", unit="samples", ge=1)
    mel_bins: int = setting(64, "mel bands", ge=1)
    fmin: float = setting(50, "lower edge of the lowest band", unit="Hz", ge=0)
    fmax: float = setting(14_000, "upper edge of the highest band", unit="Hz", gt=0)
    class_num: int = setting(527, "classes of the unused classifier", ge=1)


class Htsat(Settings):
    """Sizes of the transformer, by HTSAT_Swin_Transformer's names; defaults as HTSAT-tiny."""

    spec_size: int = setting(256, "side of the square that the spectrogram is folded into", ge=32)
    patch_size: int = setting(4, "side of a patch", ge=1)
    embed_dim: int = setting(96, "channels of the first stage, doubled at each following", ge=1)
    depths: tuple[int, ...] = setting((2, 2, 6, 2), "blocks of each stage")
    num_heads: tuple[int, ...] = setting((4, 8, 16, 32), "attention heads of each stage")
    window_size: int = setting(8, "side of an attention window", unit="patches", ge=1)


class ClapConfig(Settings):
    """A CLAP audio tower."""

    model_name: str = setting("tiny", "name of the size; part of the embedding space's name")
    front_end: FrontEnd = setting(FrontEnd, "mel front end")
    htsat: Htsat = setting(Htsat, "transformer")
    joint_embed_shape: int = setting(512, "numbers in an embedding", ge=1)
    mlp_act: Literal["relu", "gelu"] = setting("relu", "activation of the projection")

    @property
    def features(self) -> int:
        """Channels of the last stage: 768 for HTSAT-tiny."""
        return self.htsat.embed_dim << (len(self.htsat.depths) - 1)

    def check(self, source: str) -> None:
        """Refuse sizes that HTSAT cannot take.

        Raises:
            ModelError: With the numbers.
        """
        frames = self.front_end.clip_samples // self.front_end.hop_size + 1
        ratio = self.htsat.spec_size // self.front_end.mel_bins
        if ratio < 1 or frames > self.htsat.spec_size * ratio:
            raise ModelError(
                f"{source}: {self.front_end.clip_samples} samples with hop {self.front_end.hop_size} are {frames} "
                f"spectra of {self.front_end.mel_bins} bands; spec_size {self.htsat.spec_size} takes at most "
                f"{self.htsat.spec_size * ratio}"
            )
        if len(self.htsat.depths) != len(self.htsat.num_heads):
            raise ModelError(f"{source}: {len(self.htsat.depths)} depths but {len(self.htsat.num_heads)} num_heads")


def load_clap_config(source: str | Path | None) -> ClapConfig:
    """The architecture behind a name (`HTSAT-tiny`) or a JSON file; HTSAT-tiny without one.

    A JSON file has laion's form, `{"audio_cfg": {...}, "embed_dim": ...}`, where `audio_cfg.model_name` gives the
    sizes; an `htsat` group beside `audio_cfg` gives them freely.

    Raises:
        ModelError: For another model family, wrong values, or sizes that do not fit together.
    """
    if source is None:
        return ClapConfig()
    if str(source) in _KNOWN:
        size = _KNOWN[str(source)]
        return ClapConfig(model_name=size, htsat=Htsat(**_SIZES[size]))
    try:
        values = storage.read_json(str(source))
        config = _parse(values)
    except pydantic.ValidationError as error:
        raise ModelError(f"{source} is not a CLAP model config: {error}") from None
    except (OSError, ValueError) as error:
        known = ", ".join(_KNOWN)
        raise ModelError(f"no CLAP model config {source} (a JSON file, or one of {known}): {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{source} is not a CLAP model config: {error}") from None
    config.check(str(source))
    if config.features != values.get("embed_dim", config.features):
        raise ModelError(f"{source}: embed_dim {values['embed_dim']}, but the sizes give {config.features}")
    return config


def _parse(values: dict[str, Any]) -> ClapConfig:
    audio = values["audio_cfg"]
    if audio.get("model_type", "HTSAT") != "HTSAT":
        raise KeyError(f"model_type {audio['model_type']!r}; only HTSAT towers are supported")
    name = audio.get("model_name", "tiny")
    if "htsat" not in values and name not in _SIZES:
        raise KeyError(f"model_name {name!r} needs an `htsat` group; known without one: {', '.join(_SIZES)}")
    content: dict[str, Any] = {
        "model_name": name,
        "front_end": {key: audio[key] for key in FrontEnd.model_fields if key in audio},
        "htsat": values.get("htsat") or _SIZES[name],
        **{key: values[key] for key in ("joint_embed_shape", "mlp_act") if key in values},
    }
    return ClapConfig.model_validate_json(json.dumps(content))
