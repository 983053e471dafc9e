"""CLIP's image tower, through open_clip: what a bundle says about it, what its folder holds, and the network."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from v2a_core.config import setting
from v2a_core.encoders.images import OPENAI_MEAN, OPENAI_STD, ImageEncoder
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import VISION_ENCODERS
from v2a_core.models.parts import SOURCE, Found, Part, VisionSettings, VisionTraits, read_json, with_beside
from v2a_core.models.sources import Finder

if TYPE_CHECKING:
    import torch

OPEN_CLIP_CONFIG = "open_clip_config.json"
# As open_clip names them on the hub, where timm's own weights of the same tower lie beside.
_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_PREFIX = "visual."


class ClipSettings(VisionSettings):
    """What a bundle says about a CLIP of open_clip."""

    encoder: Literal["clip"] = setting("clip", "open_clip's models")
    model: str = setting(
        ..., f"open_clip's name of the architecture, or any name with {OPEN_CLIP_CONFIG} beside the weights"
    )
    weights: str = setting(..., f"file, or folder with weights and {OPEN_CLIP_CONFIG}: {SOURCE}, or open_clip's tag")

    @pydantic.model_validator(mode="after")
    def _quick_gelu(self) -> ClipSettings:
        if self.weights == "openai" and not self.model.endswith("-quickgelu"):
            raise ValueError(
                f"{self.model!r} computes plain GELU, and OpenAI's weights were trained with QuickGELU: "
                f"use '{self.model}-quickgelu'"
            )
        return self

    def find(self, finder: Finder) -> Found:
        """The weights, with the config that lies beside them or none; a bare name is a tag of open_clip's."""
        is_tag = "/" not in self.weights and not Path(self.weights).suffix and not Path(self.weights).exists()
        path = (
            _find_tag(finder, self.model, self.weights)
            if is_tag
            else finder.weight_file(self.weights, beside=(OPEN_CLIP_CONFIG,), prefer=_NAMES)
        )
        return Found(path, with_beside(path, OPEN_CLIP_CONFIG))

    def traits(self, found: Found) -> VisionTraits:
        """What the architecture says."""
        architecture = self.architecture(found)
        size = architecture["vision_cfg"]["image_size"]
        if not isinstance(size, int):
            raise ModelError(f"{self.model}: only square images are supported, not image_size {size}")
        return VisionTraits(self.model, int(architecture["embed_dim"]), size)

    def architecture(self, found: Found) -> dict[str, Any]:
        """open_clip's model config: embed_dim, quick_gelu, vision_cfg, ...

        Raises:
            ModelError: When nobody knows it, or the name and the config beside the weights differ.
        """
        named, beside = _builtin_config(self.model), found.json(OPEN_CLIP_CONFIG).get("model_cfg")
        if named is None and beside is None:
            raise ModelError(
                f"open_clip knows no model {self.model!r}, and there is no {OPEN_CLIP_CONFIG} beside {found.path}"
            )
        if named is not None and beside is not None:
            _compare_architectures(self.model, named, found.files[OPEN_CLIP_CONFIG], beside)
        return dict(beside or named or {})

    def check(self, found: Found) -> None:
        """See `PartSettings.check`."""
        from v2a_core.compute.torchvision_import import prepare_torchvision
        from v2a_core.models.checkpoints import check_fit

        prepare_torchvision()
        check_fit(_image_tower(self.architecture(found)), _visual(found.path), found.path)


class ClipEncoder(ImageEncoder[ClipSettings]):
    """Frames to embeddings in CLIP's space, 512 numbers for ViT-B/32."""

    def load(self, part: Part[ClipSettings]) -> torch.nn.Module:
        """The image tower alone: the text tower, half of CLIP, is never built at its real size."""
        from v2a_core.compute.cpu.class_token import keep_class_token
        from v2a_core.models.checkpoints import load_exactly

        tower = _image_tower(part.settings.architecture(part.found))
        load_exactly(tower, _visual(part.path), part.path)
        keep_class_token(tower)
        return tower

    def normalisation(self, part: Part[ClipSettings]) -> tuple[Sequence[float], Sequence[float]]:
        """What the config beside the weights says, else OpenAI's."""
        preprocess = part.found.json(OPEN_CLIP_CONFIG).get("preprocess_cfg", {})
        return tuple(preprocess.get("mean", OPENAI_MEAN)), tuple(preprocess.get("std", OPENAI_STD))


def _visual(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the image tower, by their names within it."""
    from v2a_core.models.checkpoints import load_tensors

    tensors = load_tensors(path).items()
    visual = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors if name.startswith(_PREFIX)}
    if not visual:
        raise ModelError(f"{path} holds no CLIP image tower: no key begins with {_PREFIX!r}")
    return visual


def _find_tag(finder: Finder, model: str, tag: str) -> Path:
    from v2a_core.compute.torchvision_import import prepare_torchvision

    prepare_torchvision()
    import open_clip

    config = open_clip.pretrained.get_pretrained_cfg(model.replace("/", "-"), tag)
    if not config:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none: it does not know this model"
        raise ModelError(
            f"vision.weights = {tag!r} is neither a file nor a tag of open_clip's {model!r}; its tags: {known}"
        )
    repo, _, file = str(config.get("hf_hub", "")).rpartition("/")
    if not repo:
        return Finder(finder.component, finder.root).fetch(str(config["url"]))
    return finder.hub(repo, file) if file else finder.weight_file(repo, prefer=_NAMES)


@functools.cache
def _builtin_config(model: str) -> dict[str, Any] | None:
    """open_clip's own config of a model, without importing open_clip (and torch with it)."""
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise ModelError("the package open_clip is not installed: pip install open_clip_torch")
    path = Path(found.submodule_search_locations[0]) / "model_configs" / f"{model.replace('/', '-')}.json"
    return read_json(path) if path.is_file() else None


def _compare_architectures(model: str, named: dict[str, Any], path: Path, beside: dict[str, Any]) -> None:
    """The config beside weights says how they were trained; a name that says otherwise is a mistake."""
    for key, default in (("embed_dim", None), ("quick_gelu", False), ("vision_cfg", None)):
        if named.get(key, default) != beside.get(key, default):
            raise ModelError(
                f"vision.model = {model!r} has {key} {named.get(key, default)}, but {path} beside the weights says "
                f"{beside.get(key, default)}: choose the model that the weights were trained as"
            )


def _image_tower(config: Mapping[str, Any]) -> torch.nn.Module:
    """open_clip's image tower without weights. The text tower, half of CLIP, is never built at its real size."""
    from v2a_core.encoders.open_clip_import import open_clip_models
    from v2a_core.models.unset import UnsetWeights

    models = open_clip_models(config["vision_cfg"])
    no_text = {"context_length": 8, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
    with UnsetWeights():
        model = models.CLIP(
            embed_dim=config["embed_dim"],
            vision_cfg=dict(config["vision_cfg"]),
            text_cfg=no_text,
            quick_gelu=bool(config.get("quick_gelu", False)),
        )
    tower: torch.nn.Module = model.visual
    return tower


VISION_ENCODERS.add("clip", ClipEncoder, ClipSettings)
