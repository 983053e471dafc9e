"""Make the arrays beside this file: what the original packages give for seeded weights and sounds.

The tests compare our networks with these numbers, so that none of the packages need be installed with them (some
download on import, some want other versions of what we use). To make them again, unpack the wheels or source
distributions of torchaudio 2.11.0 (without its folder `lib`), panns-inference 0.1.1, torchvggish 0.2, wav2clip 0.1.0
and hear21passt 0.0.26, iopath 0.1.10, portalocker and einops, and of GitHub's facebookresearch/ImageBind (53680b0) the
folder imagebind, of facebookresearch/pytorchvideo (6cdc929) the file pytorchvideo/data/clip_sampling.py, and of
hkchengrex/av-benchmark (050a5cd) the file av_bench/data/ib_data.py and the folder av_bench/synchformer, into one folder
that is no part of the project, and run from the project's root; names behind it make only these

    PYTHONPATH=.:tests/helpers python tests/data/make_oracles.py FOLDER [NAME ...]
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from helpers_networks import seeded_film, seeded_sounds, seeded_weights

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.models.unset import UnsetWeights

HERE = Path(__file__).parent

RATES = ((44_100, 16_000), (48_000, 16_000), (16_000, 48_000), (16_000, 32_000), (22_050, 16_000))
CLAP_RATES = (44_100, 48_000)
AS_TEXT = ("synchformer",)


def fill(network: torch.nn.Module, prefix: str = "") -> torch.nn.Module:
    """Seeded weights for all but the front end, by the names of the checkpoint."""
    shapes = {prefix + name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    weights = {name.removeprefix(prefix): tensor for name, tensor in seeded_weights(shapes).items()}
    network.load_state_dict(weights, strict=False)
    return network.eval()


def resampled() -> dict[str, np.ndarray]:
    import torchaudio

    sound = np.random.default_rng(7).standard_normal(1500)
    done = {f"{a}_{b}": torchaudio.functional.resample(torch.from_numpy(sound), a, b).numpy() for a, b in RATES}
    return {"sound": sound, **{name: array[:1000] for name, array in done.items()}}


def heard_by_clap() -> dict[str, np.ndarray]:
    """What AudioLDM's training gave to its CLAP, in its order.

    The sound is noise with an offset, much of it above 8 kHz, so that images and aliases are among what is compared. In
    double precision: the filters that torchaudio computes in single precision from 44.1 kHz are off by 3e-6 themselves.
    """
    from torchaudio.functional import resample

    sound = 0.2 * np.random.default_rng(8).standard_normal((2, 2400)).astype(np.float32) + np.float32(0.05)
    found: dict[str, np.ndarray] = {"sound": sound}
    for rate in CLAP_RATES:
        low = resample(torch.from_numpy(sound).double(), rate, 16_000).numpy()[0]
        low = low - np.mean(low)
        low = low / (np.max(np.abs(low)) + 1e-8) * 0.5
        found[str(rate)] = resample(torch.from_numpy(low), 16_000, 48_000).numpy().astype(np.float32)
    return found


def cnn14(rate: int, window: int, hop: int, highest: int) -> dict[str, np.ndarray]:
    config = types.ModuleType("panns_inference.config")  # which calls wget when it is imported
    sys.modules["panns_inference"] = types.ModuleType("panns_inference")
    sys.modules["panns_inference"].__path__ = [str(Path(sys.argv[1]) / "panns_inference")]
    sys.modules["panns_inference.config"] = config
    from panns_inference.models import Cnn14

    network = fill(Cnn14(rate, window, hop, 64, 50, highest, 527))
    sounds = seeded_sounds([2.5, 2.5], rate)
    seen: list[torch.Tensor] = []
    network.fc_audioset.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    embedding = network(torch.from_numpy(np.stack(sounds)))["embedding"]
    return {"embedding": embedding.numpy(), "logits": seen[0].numpy()}


def vggish() -> dict[str, np.ndarray]:
    for name in ("resampy", "soundfile"):
        sys.modules.setdefault(name, types.ModuleType(name))
    from torchvggish import torchvggish, vggish_input

    network = fill(torchvggish._vgg())
    network.embeddings = network.embeddings[:-1]  # as audioldm_eval: before the last ReLU
    found = {}
    for number, sound in enumerate(seeded_sounds([2.5, 1.0])):
        examples = vggish_input.waveform_to_examples(sound.astype(np.float64), 16_000).detach()
        found[f"patches_{number}"] = examples.numpy()[:, 0, ::8, ::4]
        found[f"embedding_{number}"] = network(examples).numpy()
    return found


def wav2clip() -> dict[str, np.ndarray]:
    from wav2clip.model.encoder import MLPLayers, ResNetExtractor

    encoder = fill(ResNetExtractor(scenario="supervise").encoder, "audio_encoder.")
    transform = fill(MLPLayers(), "audio_transform.")
    sounds = seeded_sounds([3.0, 1.0, 3.0])
    found = [transform(encoder(torch.from_numpy(sound)[None])) for sound in sounds]  # a batch of one each
    return {"embedding": torch.cat(found).numpy()}


def passt() -> dict[str, np.ndarray]:
    prepare_torchvision()  # timm, which the package imports, cannot be imported without it
    from hear21passt.models.passt import get_model
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

    mel = AugmentMelSTFT(n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192,
                         htk=False, fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000)  # fmt: skip
    network = fill(get_model("passt_s_swa_p16_128_ap476", pretrained=False))
    (sound,) = seeded_sounds([4.0], 32_000)
    whole = torch.nn.functional.pad(torch.from_numpy(sound), (0, 320_000 - len(sound)))[None]
    both = PasstBasicWrapper(mel=mel, net=network, mode="all").eval()(whole)
    return {"mel": mel.eval()(whole)[0, ::8, ::16].numpy(), "logits": both[:, :527].numpy(),
            "embedding": both[:, 527:].numpy()}  # fmt: skip


def imagebind() -> dict[str, np.ndarray]:
    """A small one of the published class; sounds by its own front end, videos by av-benchmark's."""
    prepare_torchvision()
    for name in ("pkg_resources", "pytorchvideo.transforms", "pytorchvideo.data.encoded_video"):
        sys.modules[name] = types.ModuleType(name)  # of which nothing is called here
    import pytorchvideo

    pytorchvideo.transforms = sys.modules["pytorchvideo.transforms"]
    sys.modules["pytorchvideo.data.encoded_video"].EncodedVideo = None
    import torchaudio
    from av_bench.data.ib_data import SpatialCrop
    from imagebind import data
    from imagebind.models.imagebind_model import ImageBindModel, imagebind_huge
    from torchvision.transforms import v2

    used = {"audio": 12, "vision": 16}
    small = {f"{name}_{what}": size for name in ("vision", "audio", "text", "depth", "thermal", "imu")
             for what, size in (("embed_dim", used.get(name, 8)), ("num_blocks", 2), ("num_heads", 2))}  # fmt: skip
    network = fill(ImageBindModel(out_embed_dim=24, **small))
    sounds = seeded_sounds([6.3, 3.01, 0.7])
    torchaudio.load = lambda number: (torch.from_numpy(sounds[number].copy())[None], 16_000)
    heard = [data.load_and_transform_audio_data([number], "cpu") for number in range(len(sounds))]
    normal = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(
        mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711])])  # fmt: skip
    seen = []
    for size in ((4, 224, 301), (3, 280, 224), (2, 224, 224)):
        frames = normal(torch.from_numpy(seeded_film(*size)).permute(0, 3, 1, 2))
        crops = torch.stack(SpatialCrop(224, 3)([frames]))[None]  # (1, crops, frames, ...)
        pairs = torch.cat([crops[:, :, first : first + 2] for first in range(size[0] - 1)], dim=1)
        seen.append(network({"vision": pairs.transpose(2, 3)})["vision"])
    with UnsetWeights():
        published = imagebind_huge().state_dict()
    found = {"mel": torch.stack(heard)[:, 0, :, 0, ::16, ::8].numpy(), "audio": _embedded(network, heard),
             "vision": torch.cat(seen).numpy()}  # fmt: skip
    for name in used:
        lines = sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in published.items() if f".{name}." in key)
        found[f"{name}_layout"] = np.array(hashlib.sha256("\n".join(lines).encode()).hexdigest())
        found[f"{name}_tensors"] = np.array(len(lines))
        found[f"{name}_numbers"] = np.array(sum(published[line.split()[0]].numel() for line in lines))
    found["others"] = np.array(sorted(key for key in published if not any(f".{name}." in key for name in used)))
    return found


def _embedded(network: torch.nn.Module, heard: list[torch.Tensor]) -> np.ndarray:
    return torch.cat([network({"audio": clips})["audio"] for clips in heard]).numpy()


def synchformer() -> dict[str, np.ndarray]:
    """A small one of the published class, on sound and pictures of full size; few of the numbers that pass through."""
    prepare_torchvision()
    _stand_in_for_old_transformers()
    import torchaudio
    from av_bench.synchformer import ast, motionformer, synchformer, transformer

    with UnsetWeights():
        published = synchformer.Synchformer().state_dict()
    width, heads = 24, 2
    opened = motionformer.OmegaConf.load
    motionformer.OmegaConf.load = lambda path: _smaller(opened(path), width, heads)
    real = ast.ASTConfig
    ast.ASTConfig = lambda: real(hidden_size=width, num_hidden_layers=2, num_attention_heads=heads,
                                 intermediate_size=4 * width)  # fmt: skip
    synchformer.GlobalTransformer = lambda **sizes: transformer.GlobalTransformer(
        **sizes | {"n_layer": 2, "n_head": heads, "n_embd": width}
    )
    network = synchformer.Synchformer()
    network.vproj, network.aproj = torch.nn.Linear(width, width), torch.nn.Linear(width, width)
    network.transformer.pos_emb_cfg = transformer.RandInitPositionalEncoding([198], width)
    network.transformer.off_head = torch.nn.Linear(width, 21)
    fill(network)
    sizes = {"win_length": 400, "hop_length": 160, "n_fft": 1024, "n_mels": 128}
    mel = torchaudio.transforms.MelSpectrogram(sample_rate=16_000, **sizes)
    sound, film = _seen_and_heard()
    cut = torch.from_numpy(sound).unfold(0, 10_240, 5_120)[None]
    spectra = torch.nn.functional.pad(torch.log(mel(cut) + 1e-6), (0, 1))
    spectra = (spectra + 4.2677393) / (2 * 4.5689974)
    pictures = torch.from_numpy(film).permute(0, 3, 1, 2).float() / 255
    pictures = ((pictures - 0.5) / 0.5).unfold(0, 16, 8).permute(0, 4, 1, 2, 3)[None]
    heard, seen = network.extract_afeats(spectra.unsqueeze(2)), network.extract_vfeats(pictures)
    lines = sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in published.items())
    return {
        "layout": np.array(hashlib.sha256("\n".join(lines).encode()).hexdigest()),
        "tensors": np.array(len(lines)),
        "numbers": np.array(sum(tensor.numel() for tensor in published.values())),
        "mel": spectra[0, ::8, ::16, ::13].numpy(),
        "heard": heard[0, ::4, ::2, ::6].numpy(),
        "seen": seen[0, ::4, ::2, ::6].numpy(),
        "logits": torch.cat([network.compare_v_a(seen[:, :14], heard[:, :14]),
                             network.compare_v_a(seen[:, -14:], heard[:, -14:])]).numpy(),
    }  # fmt: skip


def _seen_and_heard() -> tuple[np.ndarray, np.ndarray]:
    """Seventeen segments."""
    (sound,) = seeded_sounds([5.76])
    return sound, seeded_film(144, 224, 224)


def _smaller(config: types.SimpleNamespace, width: int, heads: int) -> types.SimpleNamespace:
    config.VIT.EMBED_DIM, config.VIT.DEPTH, config.VIT.NUM_HEADS = width, 2, heads
    return config


def _stand_in_for_old_transformers() -> None:
    """What Synchformer's code takes of libraries that are not there, or no longer have it; none of it computes."""
    import transformers.modeling_utils
    import transformers.models.audio_spectrogram_transformer.modeling_audio_spectrogram_transformer
    import transformers.pytorch_utils
    import transformers.utils
    import yaml

    class Plain(torch.nn.Module):
        device = torch.device("cpu")

        def __init__(self, config: types.SimpleNamespace) -> None:
            super().__init__()
            self.config = config

        def post_init(self) -> None:
            """Draws weights."""

        def get_head_mask(self, mask: None, layers: int) -> list[None]:
            return [None] * layers

    def load(path: Path) -> types.SimpleNamespace:
        parts = {key: types.SimpleNamespace(**part) if isinstance(part, dict) else part
                 for key, part in yaml.safe_load(path.read_text()).items()}  # fmt: skip
        return types.SimpleNamespace(**parts)

    transformers.modeling_utils.PreTrainedModel = Plain
    for name in ("find_pruneable_heads_and_indices", "prune_linear_layer"):
        setattr(transformers.pytorch_utils, name, None)
    for name in ("code_sample_docstrings", "start_docstrings", "start_docstrings_to_model_forward"):
        setattr(transformers.utils, f"add_{name}", lambda *_, **__: lambda thing: thing)
    sys.modules["omegaconf"] = types.ModuleType("omegaconf")
    sys.modules["omegaconf"].OmegaConf = types.SimpleNamespace(load=load)


def save(name: str, arrays: dict[str, np.ndarray]) -> None:
    """As text where there are few numbers."""
    if name in AS_TEXT:
        told = {key: np.char.mod("%.7g", array).astype(float).tolist() if array.dtype.kind == "f" else array.tolist()
                for key, array in arrays.items()}  # fmt: skip
        (HERE / f"{name}.json").write_text(json.dumps(told) + "\n")
    else:
        np.savez_compressed(HERE / f"{name}.npz", **arrays)


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    made = {
        "sinc_resample": resampled,
        "heard_by_clap": heard_by_clap,
        "cnn14_16k": lambda: cnn14(16_000, 512, 160, 8_000),
        "cnn14_32k": lambda: cnn14(32_000, 1024, 320, 14_000),
        "vggish": vggish,
        "wav2clip": wav2clip,
        "passt": passt,
        "imagebind": imagebind,
        "synchformer": synchformer,
    }
    for name in sys.argv[2:] or made:
        make = made[name]
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            arrays = make()
        save(name, arrays)
        print(name, {key: (array.shape, str(array.dtype)) for key, array in arrays.items()})


if __name__ == "__main__":
    main()
