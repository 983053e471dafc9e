"""What a soundtrack costs: the loop a user would write with diffusers, and `v2a generate`.

    python benchmarks/generate.py miniature --clips 24
    python benchmarks/generate.py full --clips 1 --length-s 2.56

`full` is audioldm-s at its published size with random weights: its sounds mean nothing, its arithmetic is the real one.
All figures come from one run on one machine. (c) is measured as the difference between a run of many clips and one of
few (`--first-clips`), so that starting workers and loading models, which a catalog pays once, is reported apart. On a
machine of many cores take as many first clips as there are workers to start, such as 64.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helpers_catalog  # noqa: E402
from helpers_audioldm import AUDIOLDM_S_UNET, AUDIOLDM_VAE, AUDIOLDM_VOCODER  # noqa: E402
from matmul import matmul_peak  # noqa: E402

from v2a_core.compute.precision import choose_dtype  # noqa: E402
from v2a_core.config import load  # noqa: E402
from v2a_core.generators.audioldm.components import build_scheduler  # noqa: E402
from v2a_core.models import load_bundle  # noqa: E402
from workflows.generate.config import GenerateJob  # noqa: E402

GUIDANCE, FAST_STEPS = 2.5, 25
INSIDE = ("unet", "vae", "vocoder")


def main() -> None:
    """Print clips per second, seconds by stage, and the ratios between the three ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=["miniature", "full"])
    parser.add_argument("--clips", type=int, default=8, help="clips of (c), beside the first ones")
    parser.add_argument("--first-clips", type=int, default=1, help="clips of the run that (c) is compared with")
    parser.add_argument("--loop-clips", type=int, default=1, help="clips of (a) and (b)")
    parser.add_argument("--length-s", type=float, default=10.0)
    parser.add_argument("--paper-steps", type=int, default=200)
    parser.add_argument("--set", action="append", default=[], help="settings of (c), such as generator.compile=true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """All three ways, in one process and on one set of models."""
    bundle = full_bundle(folder) if arguments.size == "full" else str(ROOT / "configs" / "models" / "miniature.yaml")
    generator = load_bundle(bundle).resolve().generator_path
    dtype = choose_dtype("auto", "cuda" if torch.cuda.is_available() else "cpu")
    peak, number = matmul_peak(dtype), str(dtype).removeprefix("torch.")
    flops = unet_flops(generator, arguments.length_s)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"{device}; matmul peak {peak / 1e9:.1f} GFLOP/s in {number}")
    print(f"{arguments.size} AudioLDM, clips of {arguments.length_s:g} s")
    print(f"a guided UNet step of a clip: {flops / 1e9:.1f} GFLOP\n")
    loop = {
        f"(a) pipeline, {arguments.paper_steps} DDIM": ("ddim", 1.0, arguments.paper_steps),
        f"(b) pipeline, {FAST_STEPS} DPM-Solver++": ("dpm-solver++", 0.0, FAST_STEPS),
    }
    seconds = {name: pipeline_loop(generator, arguments, *way) for name, way in loop.items()}
    wall, stages, start = v2a_generate(folder, bundle, arguments)
    seconds["(c) v2a generate, fast"] = wall
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"{name:32} {1 / value:8.3f} clips/s {value:8.2f} s a clip   {first / value:5.1f} x (a)")
    report(wall, stages, start, flops * FAST_STEPS / peak)


def report(wall: float, stages: dict[str, float], start: float, ideal_s: float) -> None:
    """What (c) spends where."""
    inside = sum(stages[stage] for stage in INSIDE)
    print(f"\n(c) a further clip: {wall:.3f} s; starting, loading and the first clips: {start:.1f} s")
    for stage, value in stages.items():
        print(f"    {stage:10} {value:8.3f} s  {value / wall:6.1%} of the wall time")
    print(f"    outside UNet, VAE and vocoder: {1 - inside / wall:.1%}; UNet at {ideal_s / stages['unet']:.0%} of peak")


def pipeline_loop(folder: Path, arguments: argparse.Namespace, sampler: str, eta: float, steps: int) -> float:
    """Seconds a clip of AudioLDMPipeline, one clip at a time, fp32."""
    from diffusers import AudioLDMPipeline

    pipeline = AudioLDMPipeline.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    pipeline = pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.scheduler = build_scheduler(sampler, pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    embeddings = torch.nn.functional.normalize(torch.randn(arguments.loop_clips, 512), dim=-1)

    def make(row: int, steps: int) -> None:
        pipeline(
            prompt_embeds=embeddings[[row]].to(pipeline.device),
            audio_length_in_s=arguments.length_s,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            eta=eta,
            generator=torch.Generator().manual_seed(row),
        )

    make(0, 2)
    started = time.perf_counter()
    for row in range(arguments.loop_clips):
        make(row, steps)
    return (time.perf_counter() - started) / arguments.loop_clips


def v2a_generate(folder: Path, bundle: str, arguments: argparse.Namespace) -> tuple[float, dict[str, float], float]:
    """Wall seconds and stage seconds of a further clip, and the seconds of the run of the first ones."""
    from workflows.cluster_runtime import connection
    from workflows.generate import job as generate

    connection.connect(None)
    mapper = helpers_catalog.random_mapper(folder / "mapper", load_bundle(bundle).resolve())
    overrides = [f"segments.length_s={arguments.length_s}", f"generator.num_inference_steps={FAST_STEPS}"]
    job = load(GenerateJob, job="generate", source="fast", overrides=[*overrides, *arguments.set])
    runs: list[dict[str, Any]] = []
    for count in (arguments.first_clips, arguments.first_clips + arguments.clips):
        catalog = folder / f"catalog-{count}"
        for index in range(count):
            helpers_catalog.video(catalog / f"{index}.mp4", arguments.length_s, hue=7 * index)
        summary = generate.run([str(catalog)], str(folder / f"out-{count}"), job, mapper=mapper, models=bundle)
        if summary["counts"]["sources_rejected"]:
            raise RuntimeError(f"sources were rejected: {summary['counts']}")
        runs.append(summary["seconds"])
    one, many = runs
    further = {stage: (many[stage] - one.get(stage, 0.0)) / arguments.clips for stage in many}
    wall = further.pop("total")
    return wall, further, one["total"]


def full_bundle(folder: Path) -> str:
    """audioldm-s at its published size with random weights, beside the miniature's CLIP, CLAP and text side."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    small = load_bundle(str(ROOT / "configs" / "models" / "miniature.yaml")).resolve()
    generator = folder / "audioldm-s"
    for name in ("scheduler", "tokenizer", "text_encoder"):
        shutil.copytree(small.generator_path / name, generator / name)
    shutil.copy(small.generator_path / "model_index.json", generator)
    torch.manual_seed(0)
    UNet2DConditionModel(**AUDIOLDM_S_UNET).save_pretrained(generator / "unet")
    AutoencoderKL(**AUDIOLDM_VAE).save_pretrained(generator / "vae")
    loud_vocoder(SpeechT5HifiGan(SpeechT5HifiGanConfig(**AUDIOLDM_VOCODER))).save_pretrained(generator / "vocoder")
    text = yaml.safe_dump(
        {
            "name": "full-size",
            "trained": False,
            "licence": "none: random weights",
            "vision": {"model": "ViT-miniature", "weights": str(small.vision.path)},
            "audio": {"weights": str(small.audio.path)},
            "generator": {"weights": str(generator)},
        }
    )
    (folder / "full.yaml").write_text(text)
    return str(folder / "full.yaml")


@torch.no_grad()
def loud_vocoder(vocoder: Any) -> Any:
    """A vocoder that random weights do not leave silent: silence is rejected."""
    level = vocoder(torch.randn(1, 64, vocoder.config.model_in_dim)).std()
    vocoder.conv_post.weight.mul_(0.1 / level)
    return vocoder


def unet_flops(folder: Path, length_s: float) -> float:
    """FLOP of a guided UNet step of one clip."""
    from torch.utils.flop_counter import FlopCounterMode

    from v2a_core.generators.audioldm.config import AudioLdmSettings
    from v2a_core.generators.audioldm.generator import AudioLdmGenerator

    settings = AudioLdmSettings(num_inference_steps=1, precision="fp32", guidance_scale=GUIDANCE)
    generator = AudioLdmGenerator(folder, settings)
    sizes = generator.parts.geometry
    inputs = torch.zeros(2, *sizes.latent_shape(length_s))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        generator.parts.unet(inputs, 1, encoder_hidden_states=None, class_labels=torch.ones(2, sizes.condition_dim))
    return float(counter.get_total_flops())


if __name__ == "__main__":
    main()
