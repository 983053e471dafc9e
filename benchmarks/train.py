"""How fast mappers train and sample, against the published prior and against a bare loop: all in one run.

Run `python benchmarks/train.py` (`--steps 4` for a quick look). It prints, at the paper's batch of 448:

(a) the published diffusion prior (`dalle2-pytorch` from the package index, width 512), in an environment of its own
    that shares this one's torch; left out, with the reason, when it cannot be installed;
(b) a bare PyTorch loop over our network with the data in memory: forward, backward, clip, AdamW. The ceiling;
(c) `v2a train`, with everything it does besides: shuffling, moving average, log, Ray;
(d) the same with two workers.

Then, on a GPU, an epoch of VGGSound's size (183,730 pairs with ten frames each) with `v2a train`.

Each in pairs a second, and as a share of the machine's matrix-product peak measured here, counted with the operations
of (b)'s network for (b) to (d), and its own for (a). Then embeddings a second of the sampling: 200 steps of DDIM and
the fast default, with their cosine similarity and Fréchet distance to the truth.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from matmul import DEVICE, matmul_peak
from torch.utils.flop_counter import FlopCounterMode

from v2a_core.mappers import build
from v2a_core.mappers.base import MapperModel, normalize
from v2a_core.mappers.config import MapperSettings, SamplingSettings
from v2a_core.metrics.frechet import frechet_distance
from v2a_core.outputs import manifest
from v2a_core.tables import arrays
from v2a_core.tables.schema import EMBEDDING_DIM, EMBEDDINGS, ROWS_FOLDER
from v2a_core.training.config import OptimizerSettings
from v2a_core.training.optimizer import build_optimizer
from v2a_core.training.precision import autocast, training_dtype

ROOT = Path(__file__).resolve().parents[1]
BATCH, WARMUP = 448, 4  # a process's first steps ask the system for memory
VGGSOUND_PAIRS, VGGSOUND_FRAMES, PARTS = 183_730, 10, 16
SPACES = {"vision": "clip:benchmark", "audio": "clap:benchmark"}

# What the other environment runs: the prior as its authors train it, in the same number format.
PRIOR = """
import contextlib, json, sys, time
from v2a_core.compute.torchvision_import import prepare_torchvision
prepare_torchvision()
import torch
from dalle2_pytorch import DiffusionPrior, DiffusionPriorNetwork
from torch.utils.flop_counter import FlopCounterMode

batch, micro, steps, bf16, device = json.loads(sys.argv[1])
network = DiffusionPriorNetwork(
    dim=512, depth=12, dim_head=64, heads=12, ff_mult=4, num_timesteps=1000, max_text_len=77, num_time_embeds=1,
    num_image_embeds=1, num_text_embeds=1, norm_out=True, attn_dropout=0.0, ff_dropout=0.0, final_proj=True,
    normformer=True, rotary_emb=True,
)
prior = DiffusionPrior(
    net=network, clip=None, image_embed_dim=512, timesteps=1000, cond_drop_prob=0.1, loss_type="l2",
    condition_on_text_encodings=False, predict_x_start=True,
).to(device)
optimizer = torch.optim.AdamW(prior.parameters(), lr=1.1e-4, betas=(0.9, 0.99), weight_decay=6.02e-2)

def step(batch):
    for _ in range(batch // micro):  # as much as fits into memory at once, as the package's own trainer does
        pair = torch.nn.functional.normalize(torch.randn(2, micro, 512, device=device), dim=-1)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            loss = prior(text_embed=pair[0], image_embed=pair[1]) * micro / batch
        loss.backward()
    torch.nn.utils.clip_grad_norm_(prior.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss

with FlopCounterMode(display=False) as counter:
    step(micro)
float(step(micro))
started = time.perf_counter()
for _ in range(steps):
    loss = step(batch)
float(loss)
seconds = time.perf_counter() - started
sizes = sum(parameter.numel() for parameter in prior.parameters())
print(json.dumps({"rate": batch * steps / seconds, "flops": counter.get_total_flops() / micro, "parameters": sizes}))
"""


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=16, help="timed steps of each way (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of (b), (c) and (d), in turn (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=128, help="embeddings that are sampled (default: %(default)s)")
    parser.add_argument("--prior-env", metavar="DIR", help="keep the environment of (a) here, and use it again")
    parser.add_argument("--without-prior", action="store_true", help="leave out (a)")
    parser.add_argument("--only", choices=["train", "epoch", "sample"], help="one part")
    parser.add_argument("--set", action="append", default=[], help="settings of (c), such as training.compile=true")
    arguments = parser.parse_args()
    dtype = training_dtype("auto", DEVICE)
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} CPU cores"
    print(f"machine: {name}, torch {torch.__version__}, {str(dtype).removeprefix('torch.')}, batch {BATCH}", flush=True)
    with tempfile.TemporaryDirectory(prefix="v2a-benchmark-") as folder:
        if arguments.only in (None, "train"):
            train(Path(folder), arguments, dtype)
        if arguments.only == "epoch" or (arguments.only is None and DEVICE == "cuda"):
            epoch(Path(folder), arguments.set)
        if arguments.only in (None, "sample"):
            sample(arguments.rows, dtype)


def train(folder: Path, arguments: argparse.Namespace, dtype: torch.dtype) -> None:
    """Pairs a second of each way to train."""
    steps, rounds = arguments.steps, arguments.rounds
    peaks = {kind: matmul_peak(kind) for kind in (torch.float32, torch.bfloat16)}
    print("matrix products: " + ", ".join(f"{str(k)[6:]} {v / 1e9:.0f} GFLOP/s" for k, v in peaks.items()), flush=True)
    flops = flops_per_pair()
    embeddings = write_embeddings(folder / "embeddings", BATCH * (steps + WARMUP + 1))
    bare, ours, two = [], [], []
    for number in range(rounds):  # in turn: a machine's speed changes from minute to minute
        bare.append(bare_loop(steps, dtype))
        ours.append(v2a_train(embeddings, folder / f"one-{number}", steps, 1, arguments.set))
        if DEVICE == "cpu":  # two workers want two cards
            two.append(v2a_train(embeddings, folder / f"two-{number}", steps, 2, arguments.set))
    for title, rates in (
        ("(b) bare PyTorch loop, the ceiling", bare),
        ("(c) v2a train", ours),
        ("(d) v2a train, 2 workers", two),
    ):
        if not rates:
            continue
        share = statistics.median(rate / ceiling for rate, ceiling in zip(rates, bare, strict=True))
        spread = f"{share:.2f} x (b); {', '.join(f'{rate:.0f}' for rate in rates)}"
        print(row(title, statistics.median(rates), flops, peaks[dtype], spread), flush=True)
    if arguments.without_prior:
        return
    try:
        prior = published_prior(Path(arguments.prior_env) if arguments.prior_env else folder / "prior", steps, dtype)
    except subprocess.CalledProcessError as error:
        print(f"(a) dalle2-pytorch: not measured: {(error.stderr or '').strip()[-400:]}", flush=True)
        return
    title, mine = f"(a) dalle2-pytorch, {prior['parameters']:,} parameters", statistics.median(ours)
    note = f"(c) is {mine / prior['rate']:.1f} x (a)"
    print(row(title, prior["rate"], prior["flops"], peaks[dtype], note), flush=True)


def epoch(folder: Path, settings: list[str]) -> None:
    """An epoch of as many pairs as VGGSound has: the second of a run, the first one warms up."""
    started = time.perf_counter()
    embeddings = write_embeddings(folder / "vggsound", VGGSOUND_PAIRS, VGGSOUND_FRAMES)
    print(f"\n{VGGSOUND_PAIRS:,} pairs written in {time.perf_counter() - started:.0f} s", flush=True)
    started = time.perf_counter()
    run_v2a_train(embeddings, folder / "epochs", ["training.epochs=2", *settings])
    whole = time.perf_counter() - started
    log = [json.loads(line) for line in (folder / "epochs" / "metrics.jsonl").read_text().splitlines()]
    seconds = log[1]["seconds"] - log[0]["seconds"]
    print(
        f"an epoch of them: {seconds:.2f} s, {VGGSOUND_PAIRS / seconds:.0f} pairs/s (goal on an H100: 10 s); the whole "
        f"command with reading, two epochs, validation, plots, export and Ray's start: {whole:.0f} s",
        flush=True,
    )


def row(title: str, rate: float, flops: float, peak: float, note: str) -> str:
    """A line of the table."""
    return f"{title:48} {rate:9.1f} pairs/s  {100 * rate * flops / peak:5.1f} % of the peak  {note}"


def flops_per_pair() -> float:
    """Operations of a training step of the paper's mapper, for one pair."""
    model = build(MapperSettings()).to(DEVICE)
    condition, target = pairs(BATCH)
    with FlopCounterMode(display=False) as counter:
        model(condition, target, model.draws(BATCH, torch.Generator(DEVICE).manual_seed(0))).mean().backward()
    return float(counter.get_total_flops()) / BATCH


def bare_loop(steps: int, dtype: torch.dtype) -> float:
    """Pairs a second of forward, backward, clip and AdamW, and nothing else."""
    torch.manual_seed(0)
    model = build(MapperSettings()).to(DEVICE)
    settings = OptimizerSettings()
    optimizer = build_optimizer(model, settings)
    condition, target = pairs(BATCH * 4)
    generator = torch.Generator(DEVICE).manual_seed(0)

    def step(number: int) -> None:
        rows = slice(BATCH * (number % 4), BATCH * (number % 4 + 1))
        with autocast(DEVICE, dtype):
            loss = model(condition[rows], target[rows], model.draws(BATCH, generator)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return BATCH * steps / timed(step, steps)


def v2a_train(embeddings: str, output: Path, steps: int, workers: int, settings: list[str]) -> float:
    """Pairs a second of `v2a train`, from its own log, after the first steps."""
    few = [
        f"training.max_steps={steps + WARMUP}", "training.epochs=1000", f"training.log_every_steps={WARMUP}",
        "training.validation.sampled_rows=2", "training.validation.sampling_steps=2", f"scaling.workers={workers}",
    ]  # fmt: skip
    run_v2a_train(embeddings, output, [*few, *settings])
    log = [json.loads(line) for line in (output / "losses.jsonl").read_text().splitlines()]
    return float((log[-1]["pairs"] - log[0]["pairs"]) / (log[-1]["seconds"] - log[0]["seconds"]))


def run_v2a_train(embeddings: str, output: Path, settings: list[str]) -> None:
    """The command, as a user gives it."""
    tool = [sys.executable, "-m", "workflows.train", embeddings, "--output", str(output)]
    # The worker takes the machine's cores, whatever limits this process.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "OMP_"))}
    command = [*tool, *(f"--set={item}" for item in settings)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def published_prior(folder: Path, steps: int, dtype: torch.dtype) -> dict[str, Any]:
    """The prior's rate, operations a pair and size, from its own environment."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        shared = Path(torch.__file__).parents[1]
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "shared.pth").write_text(f"{shared}\n")
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "-c",
            str(ROOT / "constraints.txt"),
            "dalle2-pytorch",
        ]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=300)
    # A step of it takes twenty of ours: fewer of them.
    arguments = json.dumps([BATCH, BATCH // 14, max(1, steps // 12), dtype == torch.bfloat16, DEVICE])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [str(python), "-c", PRIOR, arguments], check=True, capture_output=True, text=True, env=environment
    )
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def sample(rows: int, dtype: torch.dtype) -> None:
    """Embeddings a second of the solvers, and what they draw, with a mapper that has learned a small Gaussian world."""
    model, condition, target = learned(rows, dtype)
    reference = None
    print(f"\nsampling {rows} embeddings: embeddings/s, cosine to the truth, Fréchet distance to the truth")
    for title, sampling in (
        ("DDIM, 200 steps, eta 1 (the paper)", SamplingSettings(scheduler="ddim", steps=200)),
        ("the default: DPM-Solver++, 20 steps", SamplingSettings()),
        ("DPM-Solver++, 10 steps", SamplingSettings(steps=10)),
    ):
        started = time.perf_counter()
        with autocast(DEVICE, dtype):
            drawn = model.sample(condition, list(range(rows)), sampling).cpu()
        seconds = time.perf_counter() - started
        reference = seconds if reference is None else reference
        cosine = float((drawn * target.cpu()).sum(dim=-1).mean())
        frechet = frechet_distance(drawn.numpy(), target.cpu().numpy())
        print(f"{title:48} {rows / seconds:9.2f}  {cosine:.3f}  {frechet:.4f}  {reference / seconds:.1f} x", flush=True)


def learned(rows: int, dtype: torch.dtype) -> tuple[MapperModel, torch.Tensor, torch.Tensor]:
    """The paper's mapper after some steps on a world where sound follows sight up to noise; held-out pairs of it."""
    torch.manual_seed(0)
    model = build(MapperSettings()).to(DEVICE)
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=3e-4))
    condition, target = pairs(2048 + rows)
    generator = torch.Generator(DEVICE).manual_seed(0)
    for number in range(96):
        batch = torch.arange(64 * number, 64 * (number + 1), device=DEVICE) % 2048
        with autocast(DEVICE, dtype):
            model(condition[batch], target[batch], model.draws(64, generator)).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval(), condition[2048:], target[2048:]


def pairs(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Conditions and targets, (rows, 512), L2-normalised: linear functions of the same six numbers, and noise."""
    random = torch.Generator().manual_seed(0)
    see, hear = torch.randn(2, 6, EMBEDDING_DIM, generator=random)
    latent = torch.randn(rows, 6, generator=random)
    noise = torch.randn(2, rows, EMBEDDING_DIM, generator=random)
    return normalize(latent @ see + 0.3 * noise[0]).to(DEVICE), normalize(latent @ hear + 0.7 * noise[1]).to(DEVICE)


def write_embeddings(folder: Path, rows: int, frames: int = 1) -> str:
    """The pairs as `v2a embed` writes them, all frames of one alike; the last eighth validates."""
    seen, heard = (side.cpu().numpy() for side in pairs(rows * 8 // 7))
    count = len(seen)
    names = [f"/videos/{number}.mp4" for number in range(count)]
    values: dict[str, Any] = {
        "segment_id": names, "source_id": names, "source_uri": names, "source_name": names, "kind": ["video"] * count,
        "split": ["train"] * rows + ["validation"] * (count - rows),
        "segment_index": [0] * count, "segment_count": [1] * count, "audio_rms_dbfs": [-20.0] * count,
        "silent": [False] * count, "status": ["ok"] * count,
        "vision_frames": arrays.vector_lists(
            [np.repeat(item[None], frames, axis=0) for item in seen.astype(np.float16)], EMBEDDING_DIM, np.float16
        ),
        "clap_embedding": arrays.vectors(list(heard), EMBEDDING_DIM),
    }  # fmt: skip
    ready = {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in values.items()}
    table = pa.table({field.name: ready.get(field.name, pa.nulls(count)) for field in EMBEDDINGS}).cast(EMBEDDINGS)
    (folder / ROWS_FOLDER).mkdir(parents=True)
    size = math.ceil(count / PARTS)
    with ThreadPoolExecutor() as threads:  # lists in lists cost Parquet 50 ns a number
        list(threads.map(lambda part: write_part(folder, part, table.slice(part * size, size)), range(PARTS)))
    made_by = manifest.new("embed", identity={}, config={}, bundle={"name": "benchmark"}, spaces=SPACES)
    manifest.open_output(str(folder), made_by)
    manifest.close_output(str(folder), made_by, {"status": "done", "counts": {}})
    return str(folder)


def write_part(folder: Path, number: int, table: pa.Table) -> None:
    """A file of the rows. Random numbers do not compress, and a dictionary of them is larger than they are."""
    path = folder / ROWS_FOLDER / f"part-{number:05}.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def timed(step: Callable[[int], None], steps: int) -> float:
    """Seconds of some steps, after a few that are not counted."""
    for number in range(WARMUP):
        step(number)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    for number in range(steps):
        step(number)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
