"""What following a curve costs a full-size AudioLDM: parameters, memory, operations and processor seconds.

    python benchmarks/adapter.py --sizes s m l

UNets have their published sizes and random weights: their sounds mean nothing, their arithmetic is the real one. The
adapter reads the curve once a soundtrack; each guided step in which the curve is followed adds what it said. Steps with
and without are timed in turns, in seconds of the processor, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helpers_adapter  # noqa: E402
from helpers_audioldm import AUDIOLDM_S_UNET  # noqa: E402

from v2a_core.compute.precision import choose_dtype  # noqa: E402
from v2a_core.generators.adapters import AdapterSettings  # noqa: E402
from v2a_core.generators.audioldm.adapter import CurveTape, EnvelopeAdapter, added, entries_of  # noqa: E402

WIDTHS = {"s": 128, "m": 192, "l": 256}
FRAME_S, STRIDE, ADAPTER_WIDTH, STEPS = 0.04, 2, 320, 25


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=WIDTHS, default=list(WIDTHS))
    parser.add_argument("--length-s", type=float, default=10.24)
    parser.add_argument("--repeat", type=int, default=5, help="steps with and steps without")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = choose_dtype("auto", device)
    share = AdapterSettings().steps_share
    print(
        f"{device}, {str(dtype).removeprefix('torch.')}; soundtracks of {arguments.length_s:g} s, {STEPS} guided steps,"
    )
    print(f"of which the first {share:.0%} follow a curve\n")
    for size in arguments.sizes:
        measure(size, arguments, device, dtype, share)


@torch.inference_mode()
def measure(size: str, arguments: argparse.Namespace, device: str, dtype: torch.dtype, share: float) -> None:
    """One size of UNet."""
    frames = round(arguments.length_s / FRAME_S) // 8 * 8
    unet = random_unet(WIDTHS[size], device, dtype)
    torch.manual_seed(0)
    adapter = EnvelopeAdapter(entries_of(unet.config), STRIDE, ADAPTER_WIDTH).to(device)
    for output in adapter.outputs:
        torch.nn.init.normal_(output.weight, std=0.05)
    curve = helpers_adapter.curve(arguments.length_s, 1.0, 2.0)
    latents, labels = torch.randn(2, 8, frames, 16, device=device, dtype=dtype), torch.randn(2, 512, device=device)

    def step() -> None:
        unet(latents, 500, encoder_hidden_states=None, class_labels=labels.to(dtype))

    residuals = [part[None] for part in CurveTape(adapter, curve, frames, 1.0).part(0, frames)]

    def steered() -> None:
        with added(unet, adapter.entries, residuals):
            step()

    def read() -> None:
        CurveTape(adapter, curve, frames, 1.0).part(0, frames)

    parameters = sum(parameter.numel() for parameter in adapter.parameters())
    kept = sum(part.numel() * part.element_size() for part in residuals)
    once, each = operations(read), operations(step)
    plain_s, steered_s = in_turns([step, steered], arguments.repeat)
    (read_s,) = in_turns([read], arguments.repeat)
    in_all = (read_s + share * STEPS * (steered_s - plain_s)) / (STEPS * plain_s)
    unet_size = sum(parameter.numel() for parameter in unet.parameters())
    print(
        f"{size}: UNet {unet_size / 1e6:.1f} M, adapter {parameters / 1e6:.2f} M parameters "
        f"({parameters * 4 / 2**20:.1f} MiB), residuals {kept / 2**20:.2f} MiB a soundtrack\n"
        f"   operations: a guided step {each / 1e9:.1f} GFLOP, reading a curve {once / 1e9:.2f} GFLOP, once: "
        f"{once / (STEPS * each):.2%} of {STEPS} steps\n"
        f"   processor: a step {plain_s:.2f} s, one that follows {steered_s:.2f} s ({steered_s / plain_s - 1:+.2%}), "
        f"reading {read_s:.3f} s; a soundtrack {in_all:+.2%}",
        flush=True,
    )


def random_unet(width: int, device: str, dtype: torch.dtype) -> Any:
    """A UNet2DConditionModel of AudioLDM whose first level has so many channels."""
    from diffusers import UNet2DConditionModel

    channels = [width * factor for factor in (1, 2, 3, 5)]
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            **{**AUDIOLDM_S_UNET, "block_out_channels": channels, "cross_attention_dim": channels}
        ).to(dtype)
    unet = unet.to_empty(device=device)
    for parameter in unet.parameters():
        parameter.data.normal_(0, 0.02)
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return unet.eval()


def operations(work: Callable[[], None]) -> int:
    """Floating-point operations."""
    with FlopCounterMode(display=False) as counted:
        work()
    return int(counted.get_total_flops())


def in_turns(works: list[Callable[[], None]], repeat: int) -> list[float]:
    """The median seconds of each, one after the other again and again: of the processor, of a GPU its own."""
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(repeat + 1):
        for seconds, work in zip(taken, works, strict=True):
            begun = clock()
            work()
            if on_gpu:
                torch.cuda.synchronize()
            if turn:  # the first one warms up
                seconds.append(clock() - begun)
    return [statistics.median(seconds) for seconds in taken]


if __name__ == "__main__":
    main()
