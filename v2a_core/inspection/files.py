"""Files and their hashes; sizes of the models; one space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.models import ModelError, check_spaces, check_weights, digests
from v2a_core.models.bundle import CHECKSUMS_FILE
from v2a_core.models.finite import DamagedWeightsError
from v2a_core.models.parts import read_json

# Parameters of the published models, as their files hold them.
IMAGE_TOWERS = {"ViT-B-32-quickgelu": 87_849_216}
# HTSAT without its projection. The published numbers count the kernels of its STFT, which here is torch's.
_STFT_KERNELS = 2 * 513 * 1024
AUDIO_TOWERS = {"HTSAT-tiny": 31_325_143 - _STFT_KERNELS, "HTSAT-base": 72_424_535 - _STFT_KERNELS}
# Channels of the first level of AudioLDM's UNet -> parameters; of -m nobody published the number.
UNETS = {128: 185_036_552}
# sha256 of files whose publishers say it.
PUBLISHED = {"e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31": "OpenAI's CLIP ViT-B/32 (hub)"}


def check_hashes(opened: Opened) -> list[Row]:
    """The files of each part against the bundle's checksums, or published ones."""
    return [row for name, part in opened.local.parts().items() for row in _hashes(opened, name, part.found.files)]


def _hashes(opened: Opened, part: str, files: Mapping[str, Path]) -> list[Row]:
    label = f"sha256 of {part}"
    found = {name: digests.sha256(path) for name, path in files.items()}
    expected = {name: _expected(opened, f"{part}/{name}", path) for name, path in files.items()}
    known = {name for name, digest in found.items() if expected[name] or digest in PUBLISHED}
    changed = sorted(name for name in known if expected[name] and found[name] != expected[name])
    rows = []
    if known:
        advice = f"{', '.join(changed)} of {part}: changed or damaged; fetch the bundle again"
        rows.append(judged(label, f"{len(known)} files as listed", f"{len(changed)} differ", not changed, advice))
    if unknown := sorted(found.keys() - known):
        listed = ", ".join(f"{name} {found[name]}" for name in unknown)
        rows.append(unchecked(f"{label}: {len(unknown)} files", "as published", f"no checksum is known of {listed}"))
    return rows


def _expected(opened: Opened, key: str, path: Path) -> str:
    """What the bundle says, or the list of checksums in the folder that the parts lie in; nothing: neither does."""
    said = opened.bundle.settings.checksums.get(key, "")
    root = path.absolute().parents[key.count("/")] if key.count("/") < len(path.absolute().parents) else path.parent
    if said or not (root / CHECKSUMS_FILE).is_file():
        return said
    return str(read_json(root / CHECKSUMS_FILE).get(key, ""))


def check_fits(opened: Opened) -> list[Row]:
    """Names and shapes of all weights, and that they are numbers."""
    try:
        check_weights(opened.local)
    except (ModelError, DamagedWeightsError) as error:
        return [Row("weights fit their models", "every name and shape", str(error), "wrong", "get the model again")]
    return [Row("weights fit their models", "every name and shape", "all fit, all are finite", "right")]


def check_space(opened: Opened) -> list[Row]:
    """Whether CLAP and generator are of one space, by CLAP's text tower."""
    name, expected = "CLAP is the generator's", "the same text tower"
    try:
        found = check_spaces(opened.local)
    except ModelError as error:
        return [Row(name, expected, str(error), "wrong", "the text tower is another CLAP's: use the generator's CLAP")]
    if found.status == "unchecked":
        return [unchecked(name, expected, found.message)]
    return [Row(name, expected, found.message, "right")]


def check_sizes(opened: Opened) -> list[Row]:
    """Parameters of the models against the published numbers."""
    tensors = opened.source.tensors("unet")
    width = int(tensors["conv_in.weight"].shape[0])
    unet = sum(tensor.numel() for tensor in tensors.values())
    rows = [_size("UNet", unet, UNETS.get(width))]
    local = opened.local
    seen = getattr(opened.vision, "tower", None)
    heard = getattr(getattr(opened.audio, "tower", None), "audio_branch", None)
    for name, tower, expected in (
        ("image tower", seen, IMAGE_TOWERS.get(local.vision_traits.model)),
        ("audio tower", heard, AUDIO_TOWERS.get(local.audio_traits.model)),
    ):
        if tower is not None:
            rows.append(_size(name, sum(item.numel() for item in tower.parameters()), expected))
    return rows


def _size(name: str, found: int, expected: int | None) -> Row:
    label = f"parameters of the {name}"
    if expected is None:
        return Row(label, "-", f"{found:,}", "not checked", "no published number is known for this model")
    return judged(label, f"{expected:,}", f"{found:,}", found == expected, "these are weights of another model")
