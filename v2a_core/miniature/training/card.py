"""The model card of the miniature: what it is and is not, how it was trained, what it scored in training."""

from __future__ import annotations

import json
from pathlib import Path

from v2a_core.miniature.training.data import COUNTS
from v2a_core.miniature.training.loop import DONE
from v2a_core.miniature.world import KINDS
from v2a_core.models import digests

_TEXT = """# Miniature models

CLIP, CLAP and AudioLDM at tiny size, of the same classes and in the same checkpoint formats as the models of the paper,
trained on a procedural world of {count} kinds of sound event: {kinds}.
They make the program work offline, in minutes, on two cores, with results that can be heard and scored.

They know nothing but that world. They are no CLIP, CLAP or AudioLDM for real pictures and sounds, and their scores say
nothing about those models.

## Training

`v2a models train miniature` trained them from nothing: seed {seed}, {train} scenes of 5.12 s for training, {validation}
for validation, on two CPU cores. The test split was not looked at. No data of other people is in them.

- CLIP (open_clip): contrastive on frames in two drawing styles and captions; a linear head reads kind, pitch, tempo and
  intensity in training, and is thrown away.
- CLAP (laion's HTSAT and a RoBERTa-like text tower): the same, on sounds and captions. It also hears the unrelated
  music of noisy pairs.
- VAE: error of AudioLDM's log-mels and of their changes, a little KL. Eight mel frames a latent frame.
- Vocoder: begins as a bank of oscillators, one a mel band; then short spectra and log-mels, sharp and blurred over
  bands, no adversary; in the later part also on mels that went through the VAE.
- UNet: predicts v; conditions are noisy embeddings of sounds, of captions, and means over similar sounds; one in ten is
  that of the empty text. Averaged weights. It then goes on (adapt) with conditions that mappers made of pictures of the
  training split, each half by mappers that learned from the other half.
- Judge: a convolutional classifier of real renders, tilted and hissed at. Nothing else was trained with it.
- Adapter (stage `envelope`, on the finished bundle): makes the frozen UNet follow a curve of loudness and onsets.
  Learned from sounds alone: their embeddings with noise, and their envelopes, some smoothed or without onsets. What it
  was trained with is in `adapter/config.json`.
- Predictor (stage `predictor`, on the finished bundle): says from pictures when and how loud it sounds. Learned from
  scenes of the training split, a quarter of them in the other drawing style; how sure it may be was measured on the
  validation split. What it was trained with is in `predictor/config.json`.

| stage | steps | minutes | on the validation split |
|---|---|---|---|
{stages}

## Sizes

{sizes}

Licence: Apache-2.0, as the program.
"""


def model_card(output: Path, *, work: Path, seed: int) -> str:
    """Markdown, from the stages' summaries and the bundle's files."""
    rows = []
    for stage in ("judge", "clap", "clip", "vae", "vocoder", "unet", "adapt"):
        summary = json.loads((work / stage / DONE).read_text(encoding="utf-8"))
        steps, minutes = summary.pop("steps"), summary.pop("minutes")
        numbers = ", ".join(f"{name.removeprefix('validation_')} {value:.3f}" for name, value in summary.items())
        rows.append(f"| {stage} | {steps} | {minutes} | {numbers} |")
    sizes: dict[str, int] = {}
    for name, path in digests.tree(output).items():
        folder = name.rsplit("/", 1)[0] if "/" in name else ""
        if folder:
            sizes[folder] = sizes.get(folder, 0) + path.stat().st_size
    lines = [f"- {folder}: {size / 1e6:.2f} MB" for folder, size in sizes.items()]
    lines.append(f"- together: {sum(sizes.values()) / 1e6:.1f} MB")
    return _TEXT.format(
        count=len(KINDS),
        kinds=", ".join(KINDS),
        seed=seed,
        train=COUNTS["train"],
        validation=COUNTS["validation"],
        stages="\n".join(rows),
        sizes="\n".join(lines),
    )
