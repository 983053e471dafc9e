"""What the networks of `v2a evaluate` cost in the job, in a bare loop, and beside the packages that people use.

Run `python benchmarks/evaluate.py` (300 sounds of 10 s; `--sounds 24 --rounds 1 --extractors wav2clip` for a quick
look; `--compare network` does (a) and (b) alone, `--compare job` (c) and (d)). With random weights in the published
layouts, on the same sounds:

(a) the network of a package, where `--packages FOLDER` holds it, as tests/data/make_oracles.py asks for them: one
    sound after the other in one process with all cores;
(b) our network in the same way;
(c) our network in a bare loop, a process a core: the ceiling of the job;
(d) the extraction of `v2a evaluate`, Ray and all.

(a) and (b) run in turns, so do (c) and (d), since machines change their speed from minute to minute; their ratios are
medians of the rounds. What starting the actors of (d) takes is in the time of a job over a tenth of the sounds, too:
its rate is that of the rest. Of (a) and (b) the processor time is compared, too: with `--threads 1`, where no thread
waits for another, it hardly knows of other programs on the machine. Goals: (b) at least as fast as (a), (d) at least
0.9 x (c) without the start of both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))  # weights in the published layouts

SECONDS, RATE, BATCH = 10, 16_000, 8
EXTRACTORS = ("cnn14-16k", "cnn14-32k", "vggish", "wav2clip", "passt")


@dataclass(frozen=True)
class Place:
    """Where the sounds and the weights lie.

    Attributes:
        folder: Of both.
        packages: Folder of the packages; None: there are none.
        extractor: Which network.
    """

    folder: Path
    packages: Path | None
    extractor: str

    @property
    def weights(self) -> Path:
        """The checkpoint."""
        return self.folder / f"{self.extractor}.pth"


@dataclass
class Watch:
    """Seconds of some work: on the clock, and of the processors that this process used."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add what happens inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += time.process_time() - cpu


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sounds", type=int, default=300)
    parser.add_argument("--few", type=int, help="of (a) and (b), and of the short job (default: a tenth)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--extractors", nargs="+", choices=EXTRACTORS, default=list(EXTRACTORS))
    parser.add_argument("--compare", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument("--threads", type=int, default=0, help="of (a) and (b); 0: a thread a core")
    parser.add_argument("--packages", type=Path, help="folder of the packages of (a)")
    parser.add_argument("--way", choices=WAYS, help="work in this process; how the ways are started")
    parser.add_argument("--folder", type=Path, help="of --way")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="of --way: which sounds")
    arguments = parser.parse_args()
    if arguments.way:
        place = Place(arguments.folder, arguments.packages, arguments.extractors[0])
        files = sorted((arguments.folder / "sounds").iterdir())[: arguments.sounds]
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        done = WAYS[arguments.way](place, files[arguments.part[0] :: arguments.part[1]])
        print(json.dumps([done.wall_s, done.cpu_s]))
        return
    few = arguments.few or max(2, arguments.sounds // 10)
    head = " | ".join(HEADS[name] for name in COMPARISONS if name in arguments.compare)
    print(f"| network | {head} |\n|---|{'---:|' * (head.count('|') + 1)}")
    for extractor in arguments.extractors:
        with tempfile.TemporaryDirectory(prefix="v2a-bench-") as name:
            place = Place(Path(name), arguments.packages, extractor)
            _write(place, arguments.sounds)
            cells = [COMPARISONS[pair](place, arguments, few) for pair in COMPARISONS if pair in arguments.compare]
            print(f"| {' | '.join([extractor, *cells])} |", flush=True)


def _of_network(place: Place, arguments: argparse.Namespace, few: int) -> str:
    """(a) and (b): rates and their ratio."""
    theirs, ours = [], []
    for _ in range(arguments.rounds):
        theirs.append(_work("package", place, few, threads=arguments.threads))
        ours.append(_work("ours", place, few, threads=arguments.threads))
    rates, cpu = ([few / work.wall_s for work in ours], [work.cpu_s for work in ours])
    if not all(work.wall_s for work in theirs):
        return f"not there | {statistics.median(rates):.2f} | | "
    their_rates, their_cpu = [few / work.wall_s for work in theirs], [work.cpu_s for work in theirs]
    medians = f"{statistics.median(their_rates):.2f} | {statistics.median(rates):.2f}"
    return f"{medians} | {_ratio(rates, their_rates)} | {_ratio(their_cpu, cpu)}"


def _of_job(place: Place, arguments: argparse.Namespace, few: int) -> str:
    """(c) and (d): rates, their ratio, and that with the start of the job."""
    sounds, cores = arguments.sounds, len(os.sched_getaffinity(0))
    bare, job, whole = [], [], []
    for _ in range(arguments.rounds):
        bare.append(sounds / _work("bare", place, sounds, cores).wall_s)
        start_s = _work("job", place, few).wall_s
        started = time.perf_counter()
        job.append((sounds - few) / (_work("job", place, sounds).wall_s - start_s))
        whole.append(sounds / (time.perf_counter() - started))
    rates = f"{statistics.median(bare):.2f} | {statistics.median(job):.2f}"
    return f"{rates} | {_ratio(job, bare)} | {_ratio(whole, bare)}"


def _ratio(first: list[float], second: list[float]) -> str:
    """The median of the ratios of pairs, and the least and the largest of several."""
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{statistics.median(ratios):.2f}{spread}"


COMPARISONS = {"network": _of_network, "job": _of_job}
HEADS = {
    "network": "package /s | ours /s | ratio | ratio of processor time",
    "job": "bare loop /s | job /s | ratio | with its start",
}


def _work(way: str, place: Place, sounds: int, processes: int = 1, threads: int = 0) -> Watch:
    """What working takes, without imports and loading, of the slowest process; nothing where it cannot run."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(place.folder), "--sounds", str(sounds)]
    command += ["--extractors", place.extractor, *(["--packages", str(place.packages)] if place.packages else [])]
    command += ["--threads", str(threads)]
    parts = [[*command, "--part", str(part), str(processes)] for part in range(processes)]
    # Ray's workers would give way to everything else, and the loop that they are compared with would not.
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": environment}
    running = [subprocess.Popen(part, **pipes) for part in parts]
    said = [process.communicate()[0].splitlines()[-1:] for process in running]
    assert not any(process.returncode for process in running), f"{way} of {place.extractor} failed"
    return max((Watch(*json.loads(lines[0])) for lines in said), key=lambda work: work.wall_s)


def _package(place: Place, files: list[Path]) -> Watch:
    """(a); nothing without the package."""
    watch = Watch()
    if place.packages is None:
        return watch
    sys.path.insert(0, str(place.packages))
    try:
        network, rate = PACKAGES[place.extractor](place.packages)
    except ImportError as error:
        print(f"{place.extractor}: {error}", file=sys.stderr)
        return watch
    from v2a_core.media.sinc_resample import sinc_resample

    with watch.running(), torch.inference_mode():
        for path in files:
            samples, own = soundfile.read(path, dtype="float32")
            network(sinc_resample(samples, own, rate))
    return watch


def _ours(place: Place, files: list[Path]) -> Watch:
    """(b) and, a process a core, (c)."""
    from v2a_core.media.write import read_pcm
    from v2a_core.metrics.extractors.network import network
    from v2a_core.metrics.hearing_protocols import PROTOCOLS

    extractor = network(place.extractor)(place.weights, "cpu")
    watch = Watch()
    with watch.running():
        for start in range(0, len(files), BATCH):
            extractor.extract([read_pcm(path) for path in files[start : start + BATCH]], PROTOCOLS["paper"])
    return watch


def _bare(place: Place, files: list[Path]) -> Watch:
    torch.set_num_threads(1)
    return _ours(place, files)


def _job(place: Place, files: list[Path]) -> Watch:
    """(d): its stream."""
    from v2a_core.config import load
    from v2a_core.metrics.hearing_protocols import PROTOCOLS
    from v2a_core.metrics.systems.sets import file_entry, sound_set
    from v2a_core.models.digests import sha256
    from workflows.evaluate.config import EvaluateJob
    from workflows.evaluate.extraction import Asking, chosen_weights, extract

    settings = [f"extractors.{place.extractor}.weights={place.weights}"]
    job = load(EvaluateJob, job="evaluate", overrides=settings)
    (weights,) = chosen_weights(job).values()
    sounds = sound_set([file_entry(path.stem, path.stem, str(path), sha256(path)) for path in files]).sounds()
    with tempfile.TemporaryDirectory(dir=place.folder) as output:
        rows = Path(extract(output, sounds, Asking(weights, PROTOCOLS["paper"]), job, {"models": "miniature"}))
        summary = json.loads((rows.parent / "summary.json").read_text())
    assert summary["counts"]["rows_done_now"] == len(files), summary["counts"]
    return Watch(wall_s=float(summary["seconds"]["total"]))


WAYS: dict[str, Callable[[Place, list[Path]], Watch]] = {
    "package": _package,
    "ours": _ours,
    "bare": _bare,
    "job": _job,
}


def _cnn14(rate: int, window: int, hop: int, highest: int, packages: Path) -> tuple[Callable[..., Any], int]:
    import types

    for name in ("panns_inference", "panns_inference.config"):  # which calls wget when it is imported
        sys.modules[name] = types.ModuleType(name)
    sys.modules["panns_inference"].__path__ = [str(packages / "panns_inference")]
    from panns_inference.models import Cnn14

    network = Cnn14(rate, window, hop, 64, 50, highest, 527).eval()
    return lambda sound: network(torch.from_numpy(sound)[None]), rate


def _vggish(packages: Path) -> tuple[Callable[..., Any], int]:
    import types

    sys.modules.setdefault("resampy", types.ModuleType("resampy"))
    from torchvggish import torchvggish, vggish_input

    network = torchvggish._vgg().eval()
    return lambda sound: network(vggish_input.waveform_to_examples(sound.astype(np.float64), 16_000)), 16_000


def _wav2clip(packages: Path) -> tuple[Callable[..., Any], int]:
    from wav2clip.model.encoder import MLPLayers, ResNetExtractor

    encoder, transform = ResNetExtractor(scenario="supervise").encoder.eval(), MLPLayers().eval()
    return lambda sound: transform(encoder(torch.from_numpy(sound)[None])), 16_000


def _passt(packages: Path) -> tuple[Callable[..., Any], int]:
    from v2a_core.compute.torchvision_import import prepare_torchvision

    prepare_torchvision()
    from hear21passt.models.passt import get_model
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

    mel = AugmentMelSTFT(n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192,
                         htk=False, fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000)  # fmt: skip
    network = PasstBasicWrapper(
        mel=mel, net=get_model("passt_s_swa_p16_128_ap476", pretrained=False), mode="all"
    ).eval()
    return lambda sound: network(torch.from_numpy(sound)[None, :320_000]), 32_000


PACKAGES: dict[str, Callable[[Path], tuple[Callable[..., Any], int]]] = {
    "cnn14-16k": lambda packages: _cnn14(16_000, 512, 160, 8000, packages),
    "cnn14-32k": lambda packages: _cnn14(32_000, 1024, 320, 14_000, packages),
    "vggish": _vggish,
    "wav2clip": _wav2clip,
    "passt": _passt,
}


def _write(place: Place, sounds: int) -> None:
    """Noise, each sound another one, and a checkpoint."""
    from helpers_networks import published_weights

    (place.folder / "sounds").mkdir()
    random = np.random.default_rng(0)
    for number in range(sounds):
        samples = (0.1 * random.standard_normal(SECONDS * RATE)).astype(np.float32)
        soundfile.write(place.folder / "sounds" / f"{number:05d}.wav", samples, RATE, "PCM_16")
    torch.save(published_weights(place.extractor), place.weights)


if __name__ == "__main__":
    main()
