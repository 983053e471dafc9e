"""What was trained, as a bundle: the files that `init_miniature` writes, the judge, checksums, a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from v2a_core import storage
from v2a_core.config import read_yaml
from v2a_core.encoders.clap import CLAP_CONFIG
from v2a_core.encoders.clip import OPEN_CLIP_CONFIG
from v2a_core.generators.adapters import save_adapter
from v2a_core.metrics.extractors.judge import Judge
from v2a_core.miniature.audioldm import build_unet, build_vocoder, save_parts
from v2a_core.miniature.bundle import describe
from v2a_core.miniature.clap import CHECKPOINT, laion_text, with_module
from v2a_core.miniature.clap import MODEL_CONFIG as CLAP_MODEL_CONFIG
from v2a_core.miniature.clip import PREPROCESS_CONFIG
from v2a_core.miniature.text import build_tokenizer
from v2a_core.miniature.training import envelope, predictor
from v2a_core.miniature.training.card import model_card
from v2a_core.miniature.training.clap import Towers, load_towers
from v2a_core.miniature.training.clip import CLIP_CONFIG
from v2a_core.miniature.training.loop import DONE, load_weights
from v2a_core.miniature.training.unet import SCHEDULER
from v2a_core.miniature.training.vae import load_vae
from v2a_core.miniature.world import KINDS
from v2a_core.models import LocalBundle, digests
from v2a_core.models.bundle import BUNDLE_FILE, CHECKSUMS_FILE
from v2a_core.models.parts import ADAPTER_FILE, PREDICTOR_FILE
from v2a_core.timing.predictors.trained import SCHEMA_VERSION, TrainedConfig, save_predictor
from v2a_core.training.adapter import describe as describe_adapter
from v2a_core.training.config import LoopSettings

CARD_FILE = "MODEL_CARD.md"
ADAPTER, PREDICTOR = "adapter", "predictor"
# Follow from the configuration, or are no part of the embedding.
_LEFT_OUT = (
    "relative_position_index",
    "attn_mask",
    "num_batches_tracked",
    "tscam_conv.",
    "head.",
)


def export_bundle(output: Path, *, work: Path, seed: int) -> None:
    """Write the trained weights, in half precision, in the published formats.

    Args:
        output: Folder of the bundle; made if missing, older files are replaced.
        work: Folder of the finished stages.
        seed: That they were trained with.
    """
    towers = load_towers(work, seed)
    _export_clip(output / "vision", work)
    _export_clap(output / "audio", towers)
    _export_generator(output / "generator", towers, work, seed)
    judge = Judge(KINDS)
    judge.load_state_dict(load_weights(work / "judge", "judge"))
    judge.save(output / "judge")
    (output / CARD_FILE).write_text(model_card(output, work=work, seed=seed), encoding="utf-8")
    storage.write_json(str(output / CHECKSUMS_FILE), _checksums(output))
    describe(output, name="miniature", trained=True)


def add_adapter(output: Path, local: LocalBundle, *, work: Path, seed: int) -> None:
    """Add the trained adapter to a bundle, in half precision.

    Args:
        output: Folder of the bundle.
        local: The same, as it is there.
        work: Folder of the finished stage.
        seed: That it was trained with.
    """
    training = {"seed": seed, "sounds": envelope.SOUNDS, **_told(envelope.TRAINING, work)}
    save_adapter(str(output / ADAPTER), _half(work / ADAPTER_FILE), describe_adapter(local, envelope.NETWORK, training))
    _add(output, ADAPTER)


def add_predictor(output: Path, local: LocalBundle, *, work: Path, seed: int) -> None:
    """Add the trained predictor of curves to a bundle, in half precision; arguments as of `add_adapter`."""
    told = _told(predictor.TRAINING, work)
    measured = {name: told.pop(f"validation_{name}") for name in ("threshold", "sure_spread", "unsure_spread")}
    config = TrainedConfig(
        schema_version=SCHEMA_VERSION,
        kind="gru",
        vision_space=local.vision_space,
        vision_dim=local.vision_dim,
        frames_per_second=predictor.RATE,
        width=predictor.NETWORK.width,
        hidden=predictor.NETWORK.hidden,
        onset_threshold=measured["threshold"],
        sure_spread=measured["sure_spread"],
        unsure_spread=measured["unsure_spread"],
        training={"seed": seed, "scenes": predictor.SCENES, **told},
    )
    save_predictor(str(output / PREDICTOR), _half(work / PREDICTOR_FILE), config)
    _add(output, PREDICTOR)


def _told(training: LoopSettings, work: Path) -> dict[str, Any]:
    """What a finished stage on a bundle says of itself, without its time: the same training gives the same files."""
    summary = json.loads((work / DONE).read_text(encoding="utf-8"))
    del summary["minutes"]
    return {"batch": training.global_batch, **summary}


def _half(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: tensor.half() for name, tensor in load_file(file).items()}


def _add(output: Path, part: str) -> None:
    """Make a folder in a bundle a part of it."""
    folder = output / part
    listed = storage.read_json(str(output / CHECKSUMS_FILE)) if (output / CHECKSUMS_FILE).is_file() else {}
    kept = {name: digest for name, digest in listed.items() if not name.startswith(f"{part}/")}
    own = {f"{part}/{name}": digests.sha256(path) for name, path in digests.tree(folder).items()}
    said = read_yaml(output / BUNDLE_FILE)
    storage.write_json(str(output / CHECKSUMS_FILE), {**kept, **own})
    described = {**said, part: {"weights": f"./{part}"}}
    storage.write_bytes(str(output / BUNDLE_FILE), yaml.safe_dump(described, sort_keys=False).encode())


def _export_clip(folder: Path, work: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = load_weights(work / "clip", "clip")
    save_file(
        {name: value.half().contiguous() for name, value in tensors.items()}, folder / "open_clip_model.safetensors"
    )
    build_tokenizer().save_pretrained(folder)


def _export_clap(folder: Path, towers: Towers) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CLAP_CONFIG).write_text(json.dumps(CLAP_MODEL_CONFIG, indent=2) + "\n", encoding="utf-8")
    audio = {name: value for name, value in towers.audio.state_dict().items() if not any(p in name for p in _LEFT_OUT)}
    tensors = {**audio, **laion_text(towers.text.state_dict())}
    half = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    torch.save({"epoch": 0, "name": "miniature", "state_dict": with_module(half)}, folder / CHECKPOINT)


def _export_generator(folder: Path, towers: Towers, work: Path, seed: int) -> None:
    from diffusers import DDIMScheduler

    unet, vocoder = build_unet(seed), build_vocoder(seed)
    unet.load_state_dict(load_weights(work / "adapt", "unet"))
    vocoder.load_state_dict(load_weights(work / "vocoder", "vocoder"))
    vocoder.config.normalize_before = True
    models = {
        "vae": load_vae(work, seed),
        "unet": unet,
        "vocoder": vocoder,
        "text_encoder": towers.text,
    }
    for model in models.values():
        torch.nn.Module.to(model, torch.float16)  # the class's own `to` warns about parts that none of these has
    save_parts(folder, {**models, "tokenizer": towers.tokenizer}, DDIMScheduler(**SCHEDULER))


def _checksums(output: Path) -> dict[str, str]:
    """Of what a bundle is made of; CLIP's tokenizer, which no job reads, is CLAP's."""
    files = {name: path for name, path in digests.tree(output).items() if "/" in name}
    kept = [
        name
        for name in files
        if not name.startswith("vision/") or Path(name).name in (OPEN_CLIP_CONFIG, "open_clip_model.safetensors")
    ]
    return {name: digests.sha256(files[name]) for name in kept}
