"""What `v2a embed` costs against what a user would write, and against the least it could cost.

Run `python benchmarks/embed.py` (300 segments; `--segments 60` for a quick look). One run on one machine compares, with
full-size ViT-B/32 and HTSAT-tiny (random weights), on the same clips of 10 s, 640 x 360, with sound:

(a) a plain script: decord, one clip at a time, fp32, no Ray;
(b) the program's own functions in a bare loop, a process a core, no Ray: the ceiling;
(c) `v2a embed`, Ray and all.

Goals on two cores: (c) at least 2.5 x (a) and 0.9 x (b). Of (b) loading is told apart; (c) is whole, Ray's start and
loading included, which weigh heavily in a short run. The last line says what the matrix products of CLIP's tower alone
allow: whatever else is done, nothing that computes in this number format on these cores is faster.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from matmul import DEVICE, matmul_peak
from safetensors.torch import save_file

from v2a_core.config import load
from v2a_core.encoders.clap import ClapAudioTower, ClapEncoder
from v2a_core.encoders.clip import ClipEncoder
from v2a_core.encoders.config import EncoderSettings
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, decode_source
from v2a_core.media.encode import write_video
from v2a_core.media.types import DecodedSegment
from v2a_core.models import load_bundle
from v2a_core.models.clap_config import load_clap_config
from v2a_core.precision import choose_dtype
from v2a_core.torchvision_compat import prepare_torchvision

CLIP = "ViT-B-32-quickgelu"
CLIP_FLOP = 8.8e9  # of an image: 12 blocks of 50 tokens, width 768
CLIP_S, RATE, DIFFERENT, BATCH = 10, 48_000, 8, 16


def main() -> None:
    """Print segments per second of each way, the ratios, and where the time of (c) goes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, default=300)
    parser.add_argument("--plain-segments", type=int, help="of (a), the slow one (default: a fifth)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="v2a-bench-") as name:
        folder = Path(name)
        bundle = _write_bundle(folder / "models")
        clips = _write_clips(folder / "clips", arguments.segments)
        few = clips[: arguments.plain_segments or max(8, arguments.segments // 5)]
        plain = len(few) / _plain(few, bundle)
        print(f"(a) plain script      {plain:6.2f} segments/s ({len(few)} segments)", flush=True)
        loading_s, working_s = _bare(clips, bundle)
        bare = len(clips) / working_s
        print(f"(b) bare loop         {bare:6.2f} segments/s (and {loading_s:.1f} s to load)", flush=True)
        summary, first_s = _embed(folder, bundle)
        total_s = summary["seconds"]["total"]
        whole = len(clips) / total_s
        print(f"(c) v2a embed         {whole:6.2f} segments/s, start included (first rows after {first_s:.1f} s)")
        loaded = len(clips) / (loading_s + working_s)
        print(
            f"    (c) / (a): {whole / plain:.2f} (goal 2.5); (c) / (b): {whole / bare:.2f} (goal 0.9), "
            f"{whole / loaded:.2f} of (b) with its loading"
        )
        stages = {stage: value for stage, value in summary["seconds"].items() if stage != "total"}
        work = sum(stages.values())
        shares = ", ".join(f"{stage} {value:.0f} s ({100 * value / work:.0f} %)" for stage, value in stages.items())
        print(f"    work of its stages: {shares}; {work / total_s:.2f} cores busy with them")
        dtype = choose_dtype("auto", DEVICE)
        bound = matmul_peak(dtype) / (CLIP_S * CLIP_FLOP)
        print(f"    CLIP's products alone, at this machine's rate for {str(dtype)[6:]}: {bound:.2f} segments/s")


def _plain(clips: Sequence[Path], bundle: str) -> float:
    """What many write first: everything in turn, in fp32."""
    import decord
    from PIL import Image

    prepare_torchvision()
    from open_clip.transform import image_transform

    local = load_bundle(bundle).resolve()
    tower = ClipEncoder(local, EncoderSettings(precision="fp32"))._tower
    ears = _laion_clap(ClapEncoder(local, EncoderSettings(precision="fp32"))._tower)
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


def _bare(clips: Sequence[Path], bundle: str) -> tuple[float, float]:
    """Seconds of loading and of working, of one process a core that share the clips."""
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(cores), context.Queue()
    workers = [
        context.Process(target=_bare_worker, args=(clips[core::cores], bundle, barrier, results))
        for core in range(cores)
    ]
    for worker in workers:
        worker.start()
    times = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return max(loading for loading, _ in times), max(working for _, working in times)


def _bare_worker(clips: Sequence[Path], bundle: str, barrier: Any, results: Any) -> None:
    torch.set_num_threads(1)
    started = time.perf_counter()
    local = load_bundle(bundle).resolve()
    clip, clap = ClipEncoder(local, EncoderSettings()), ClapEncoder(local, EncoderSettings())
    loaded = time.perf_counter()
    barrier.wait()
    began = time.perf_counter()
    for start in range(0, len(clips), BATCH):
        decoded = [_decode(path, local.media_spec()) for path in clips[start : start + BATCH]]
        clip.encode(np.concatenate([segment.frames_NHWC for segment in decoded]))
        clap.encode(np.stack([segment.waveform for segment in decoded if segment.waveform is not None]))
    results.put((loaded - started, time.perf_counter() - began))


def _decode(path: Path, spec: Any) -> DecodedSegment:
    request = DecodeRequest(path, "video", str(path), spec, SegmentSettings(), FrameSettings())
    return next(item for item in decode_source(request) if isinstance(item, DecodedSegment))


def _embed(folder: Path, bundle: str) -> tuple[dict[str, Any], float]:
    """The job's summary, and the seconds until its first rows."""
    from v2a_core.parts import PartWriter
    from workflows import embed
    from workflows.embed_config import EmbedJob

    arrivals: list[float] = []
    add = PartWriter.add

    def watched(self: PartWriter, table: Any) -> Any:
        arrivals.append(time.perf_counter())
        return add(self, table)

    PartWriter.add = watched  # type: ignore[method-assign]
    started = time.perf_counter()
    summary = embed.run([str(folder / "clips")], str(folder / "out"), load(EmbedJob, job="embed"), models=bundle)
    assert not summary["counts"]["sources_rejected"], summary["counts"]
    return summary, arrivals[0] - started


def _write_bundle(folder: Path) -> str:
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
    text = {
        "text_branch.embeddings.word_embeddings.weight": torch.randn(64, 32),
        "text_projection.0.weight": torch.randn(512, 32),
    }
    torch.save({**tower.state_dict(), **text}, folder / "clap.pt")
    description = {
        "name": "benchmark",
        "trained": False,
        "clip": {"model": CLIP, "weights": str(folder / "clip.safetensors")},
        "clap": {"weights": str(folder / "clap.pt"), "config": "HTSAT-tiny"},
        "generator": {"weights": str(load_bundle("miniature").resolve().generator_path)},
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))
    return str(folder / "bundle.yaml")


def _write_clips(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    generator = np.random.default_rng(0)
    made = []
    for number in range(count):
        path = folder / f"{number:04d}.mp4"
        if number < DIFFERENT:
            texture = generator.integers(0, 255, (360, 1280, 3), np.uint8)
            frames = (texture[:, 2 * index : 2 * index + 640] for index in range(CLIP_S * 25))
            tone = 0.3 * np.sin(2 * np.pi * (220 + 60 * number) * np.arange(CLIP_S * RATE) / RATE)
            write_video(path, frames, 25, tone.astype(np.float32), RATE)
        else:
            shutil.copyfile(made[number % DIFFERENT], path)
        made.append(path)
    return made


if __name__ == "__main__":
    main()
