"""What `v2a embed` costs against what a user would write, and against the least it could cost.

Run `python benchmarks/embed.py` (300 segments; `--segments 60 --rounds 1` for a quick look). One run on one machine
compares, with full-size ViT-B/32 and HTSAT-tiny (random weights), on the same clips of 10 s, 640 x 360, with sound:

(a) a plain script: decord, one clip at a time, fp32, no Ray;
(b) the program's own functions in a bare loop, a process a core, no Ray: the ceiling;
(c) `v2a embed`, Ray and all.

Each is a command, timed from its start to its end. (b) and (c) run in turns, since machines change their speed from
minute to minute: their ratio is the median of the rounds. Goals on two cores: (c) at least 2.5 x (a) and 0.9 x (b).
The rate without imports and loading is told beside it. What Ray's start and end cost does not grow with a run:
`--segments 1000` shows how little is left of it. The last line says what the matrix products of CLIP's tower
alone allow: whatever else is done, nothing that computes in this number format on these cores is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from matmul import DEVICE, matmul_peak
from safetensors.torch import save_file

from v2a_core.compute.precision import choose_dtype
from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders import EncoderSettings, build_audio, build_vision
from v2a_core.encoders.clap_config import load_clap_config
from v2a_core.encoders.clap_tower import ClapAudioTower
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, decode_source
from v2a_core.media.encode import write_video
from v2a_core.media.resample import encoder_waveform
from v2a_core.media.types import DecodedSegment
from v2a_core.models import load_bundle

CLIP = "ViT-B-32-quickgelu"
CLIP_FLOP = 8.8e9  # of an image: 12 blocks of 50 tokens, width 768
CLIP_S, RATE, DIFFERENT, BATCH = 10, 48_000, 8, 16


@dataclass(frozen=True)
class Timing:
    """Seconds of a command, all of it and without imports and loading."""

    whole_s: float
    working_s: float


def main() -> None:
    """Print segments per second of each way, the ratios, and where the time of (c) goes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, default=300)
    parser.add_argument("--plain-segments", type=int, help="of (a), the slow one (default: a fifth)")
    parser.add_argument("--rounds", type=int, default=3, help="of (b) and (c), in turns")
    parser.add_argument("--way", choices=WAYS, help="work through clips in this process; how (a) and (b) are started")
    parser.add_argument("--models", help="of --way: a bundle")
    parser.add_argument("clips", nargs="*", type=Path, help="of --way")
    arguments = parser.parse_args()
    if arguments.way:
        print(WAYS[arguments.way](arguments.clips, arguments.models))
        return
    with tempfile.TemporaryDirectory(prefix="v2a-bench-") as name:
        _write_bundle(Path(name) / "models")
        _write_clips(Path(name) / "clips", arguments.segments)
        _compare(Path(name), arguments.segments, arguments.plain_segments, arguments.rounds)


def _compare(folder: Path, segments: int, plain_segments: int | None, rounds: int) -> None:
    few = plain_segments or max(8, segments // 5)
    part = _time_way("plain", folder, few)
    # Of the others' number of segments, by its rate: its start weighs as much as theirs.
    plain_s = part.whole_s + part.working_s * (segments / few - 1)
    print(f"(a) plain script      {_rates(Timing(plain_s, plain_s - part.whole_s + part.working_s), segments)} ({few})")
    bare, embed, stages = [], [], []
    for _ in range(rounds):
        bare.append(_time_way("bare", folder, segments, len(os.sched_getaffinity(0))))
        print(f"(b) bare loop         {_rates(bare[-1], segments)}", flush=True)
        timing, seconds = _time_embed(folder, segments)
        embed.append(timing)
        stages.append(seconds)
        print(
            f"(c) v2a embed         {_rates(timing, segments)}; {bare[-1].whole_s / timing.whole_s:.2f} x (b)",
            flush=True,
        )
    middle = statistics.median(timing.whole_s for timing in embed)
    ceiling = statistics.median(low.whole_s / high.whole_s for low, high in zip(bare, embed, strict=True))
    working = statistics.median(low.working_s / high.whole_s for low, high in zip(bare, embed, strict=True))
    print(
        f"    (c) / (a): {plain_s / middle:.2f} (goal 2.5); (c) / (b): {ceiling:.2f} (goal 0.9), "
        f"{working:.2f} of (b) without its loading"
    )
    work = {stage: statistics.median(seconds[stage] for seconds in stages) for stage in stages[0]}
    shares = ", ".join(f"{stage} {value:.0f} s ({value / sum(work.values()):.0%})" for stage, value in work.items())
    print(f"    work of its stages: {shares}; {sum(work.values()) / middle:.2f} cores busy with them")
    dtype = choose_dtype("auto", DEVICE)
    bound = matmul_peak(dtype) / (CLIP_S * CLIP_FLOP)
    print(f"    CLIP's products alone, at this machine's rate for {str(dtype)[6:]}: {bound:.2f} segments/s")


def _rates(timing: Timing, segments: int) -> str:
    return f"{segments / timing.whole_s:6.2f} segments/s ({segments / timing.working_s:.2f} without loading)"


def _time_way(way: str, folder: Path, segments: int, processes: int = 1) -> Timing:
    """The times of processes that share the clips."""
    clips = sorted(map(str, (folder / "clips").iterdir()))[:segments]
    command = [sys.executable, __file__, "--way", way, "--models", str(folder / "models" / "bundle.yaml")]
    started = time.perf_counter()
    running = [
        subprocess.Popen([*command, *clips[part::processes]], stdout=subprocess.PIPE) for part in range(processes)
    ]
    working_s = max(float(process.communicate()[0]) for process in running)
    assert not any(process.returncode for process in running)
    return Timing(time.perf_counter() - started, working_s)


def _time_embed(folder: Path, segments: int) -> tuple[Timing, dict[str, float]]:
    """The command's times, and those that its summary tells of its stages."""
    output = folder / "out"
    catalog, models = str(folder / "clips"), str(folder / "models" / "bundle.yaml")
    command = [sys.executable, "-m", "workflows.embed", catalog, "--output", str(output), "--models", models]
    started = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True)
    whole_s = time.perf_counter() - started
    if ran.returncode:
        sys.exit(ran.stderr)
    summary = json.loads((output / "summary.json").read_text())
    shutil.rmtree(output)
    assert summary["counts"]["rows_done_now"] == segments, summary["counts"]
    assert not summary["counts"]["sources_rejected"], summary["counts"]
    seconds = dict(summary["seconds"])
    return Timing(whole_s, seconds.pop("total")), seconds


def _plain(clips: Sequence[Path], models: str) -> float:
    """What many write first: everything in turn, in fp32; seconds of working."""
    import decord
    from PIL import Image

    prepare_torchvision()
    from open_clip.transform import image_transform

    local = load_bundle(models).resolve()
    tower = build_vision(local, EncoderSettings(precision="fp32")).tower
    ears = _laion_clap(build_audio(local, EncoderSettings(precision="fp32")).tower)
    transform = image_transform(224, is_train=False)
    started = time.perf_counter()
    for path in clips:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0))
        step = reader.get_avg_fps()
        indices = [int((second + 0.5) * step) for second in range(CLIP_S)]
        frames = reader.get_batch([index for index in indices if index < len(reader)]).asnumpy()
        sound = decord.AudioReader(str(path), ctx=decord.cpu(0), sample_rate=RATE, mono=True)[:].asnumpy()[0]
        waveform = np.resize(sound, CLIP_S * RATE).astype(np.float32)
        with torch.inference_mode():
            pixels = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
            torch.nn.functional.normalize(tower(pixels), dim=-1)
            torch.nn.functional.normalize(ears(torch.tensor(waveform)[None]), dim=-1)
    return time.perf_counter() - started


def _laion_clap(tower: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same weights as laion_clap itself runs them: its front end is part of HTSAT."""
    from torchlibrosa.stft import Spectrogram

    tower.audio_branch.spectrogram_extractor = Spectrogram(n_fft=1024, hop_length=480, win_length=1024)
    return lambda waveforms_BT: tower.audio_projection(tower.audio_branch({"waveform": waveforms_BT})["embedding"])


def _bare(clips: Sequence[Path], models: str) -> float:
    """One of the processes, a core each; seconds of working."""
    torch.set_num_threads(1)
    local = load_bundle(models).resolve()
    spec = local.media_spec()
    clip, clap = build_vision(local, EncoderSettings()), build_audio(local, EncoderSettings())
    began = time.perf_counter()
    for start in range(0, len(clips), BATCH):
        decoded = [_decode(path, spec) for path in clips[start : start + BATCH]]
        clip.encode(np.concatenate([segment.frames_NHWC for segment in decoded]))
        sounds = [item.waveform for item in decoded if item.waveform is not None]
        clap.encode(np.stack([encoder_waveform(sound, spec) for sound in sounds]))
    return time.perf_counter() - began


WAYS = {"plain": _plain, "bare": _bare}


def _decode(path: Path, spec: Any) -> DecodedSegment:
    request = DecodeRequest(path, "video", str(path), spec, SegmentSettings(), FrameSettings())
    return next(item for item in decode_source(request) if isinstance(item, DecodedSegment))


def _write_bundle(folder: Path) -> None:
    """The paper's encoders with random weights, as files, with the miniature's generator (which is not used)."""
    prepare_torchvision()
    import open_clip

    folder.mkdir()
    torch.manual_seed(0)
    config = open_clip.get_model_config(CLIP)
    config["text_cfg"] |= {"layers": 1, "vocab_size": 64}
    save_file(open_clip.CLIP(**config).state_dict(), folder / "clip.safetensors")
    tower = ClapAudioTower(load_clap_config(None))
    tower.audio_branch.bn0.running_mean.fill_(-25.0)
    tower.audio_branch.bn0.running_var.fill_(400.0)
    miniature = load_bundle("miniature").resolve()
    # The generator's own text tower: embed refuses a CLAP that is not the generator's.
    text = miniature.audio.settings.text_tower(miniature.audio.path)
    torch.save({**tower.state_dict(), **text}, folder / "clap.pt")
    description = {
        "name": "benchmark",
        "trained": False,
        "vision": {"model": CLIP, "weights": str(folder / "clip.safetensors")},
        "audio": {"weights": str(folder / "clap.pt"), "config": "HTSAT-tiny"},
        "generator": {"weights": str(miniature.generator_path)},
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))


def _write_clips(folder: Path, count: int) -> None:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:04d}.mp4"
        if number < DIFFERENT:
            texture = generator.integers(0, 255, (360, 1280, 3), np.uint8)
            frames = (texture[:, 2 * index : 2 * index + 640] for index in range(CLIP_S * 25))
            tone = 0.3 * np.sin(2 * np.pi * (220 + 60 * number) * np.arange(CLIP_S * RATE) / RATE)
            write_video(path, frames, 25, tone.astype(np.float32), RATE)
        else:
            shutil.copyfile(folder / f"{number % DIFFERENT:04d}.mp4", path)


if __name__ == "__main__":
    main()
