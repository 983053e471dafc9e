"""The whole way of a sound: heard by CLAP, made again by AudioLDM, heard again; and with few steps as with many.

Shapes: N sounds, D numbers of an embedding.
"""

from __future__ import annotations

import time

import numpy as np

from v2a_core.compute.seeds import segment_seed
from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.config import TRAINED_S, AudioLdmSettings
from v2a_core.inspection.denoising import NEEDED
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.media.resample import clap_waveform
from v2a_core.protocols import Floats, Generator

# The authors' sampling: 200 steps of DDIM.
SLOW = AudioLdmSettings(precision="fp32", sampler="ddim", num_inference_steps=200)
SOUNDS, SLOW_SOUNDS = 6, 3
# For the many steps; on a CPU of two cores one sound of a full-size model takes some minutes of them.
SLOW_BUDGET_S = 240.0
NOTICEABLE = 0.1


def check_whole(opened: Opened) -> list[Row]:
    """Similarity of sounds to what is made of their embeddings, and of few steps against many."""
    matched, steps = "sounds made again: similarity to their own", "25 fast steps against 200 of DDIM"
    if not opened.material.sounds:
        return [
            unchecked(matched, "more than to others", NEEDED),
            unchecked(steps, f"no less similar by {NOTICEABLE:g}", NEEDED),
        ]
    started = time.perf_counter()
    fast_N = _similarities(opened, opened.generator, SOUNDS)
    fast_s = time.perf_counter() - started
    own, other = (float(fast_N[:, column].mean()) for column in range(2))
    closer = float((fast_N[:, 0] > fast_N[:, 1]).mean())
    rows = [
        judged(
            matched,
            "more than to another's, for most",
            f"{own:.3f} against {other:.3f}, higher for {closer:.0%} of {len(fast_N)}",
            own > other and closer > 0.5,
            "what is made does not follow CLAP: look at the rows above for the first that is wrong",
        )
    ]
    slow_steps = SLOW.num_inference_steps / opened.fast.num_inference_steps
    count = int(np.clip(SLOW_BUDGET_S / (slow_steps * fast_s / len(fast_N)), 1, SLOW_SOUNDS))
    slow_N = _similarities(opened, load_generator(opened.local, SLOW, opened.device), count)
    lost = float((slow_N - fast_N[:count])[:, 0].mean())
    rows.append(
        judged(
            steps,
            f"no less similar to their own by {NOTICEABLE:g}",
            f"{fast_N[:count, 0].mean():.3f} against {slow_N[:, 0].mean():.3f} ({count} sounds)",
            lost < NOTICEABLE,
            "the fast sampler does not fit this model: set generator.sampler=ddim, generator.num_inference_steps=200",
        )
    )
    return rows


def _similarities(opened: Opened, generator: Generator, count: int) -> Floats:
    """Similarity of what is made for the first sounds to the sound itself, and to another, float32 (N, 2)."""
    wanted_ND = opened.embeddings
    few_ND = wanted_ND[:count]
    shortest_s = min(len(item.waveform_T) / item.sample_rate for item in opened.material.sounds)
    seeds = [segment_seed(opened.seed, f"check-{index}", "generate") for index in range(len(few_ND))]
    made_NT = generator.generate(few_ND, seeds, min(shortest_s, TRAINED_S))
    spec = opened.local.media_spec()
    heard_ND = opened.audio.encode(
        np.stack([clap_waveform(np.nan_to_num(item), generator.sample_rate, spec) for item in made_NT])
    )
    others_ND = wanted_ND[opened.others[:count]]
    pair: Floats = np.stack([(heard_ND * few_ND).sum(axis=1), (heard_ND * others_ND).sum(axis=1)], axis=1)
    return pair
