"""Everything that is heard for a score: the real sounds, and what each way to a condition makes of held-out scenes.

Shapes: N scenes, D numbers of an embedding.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from v2a_core.compute.seeds import segment_seed
from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.miniature.score.mapping import Frames, Mapped, SeenAndHeard, train_and_map, without_mapper
from v2a_core.miniature.score.studio import Crew, Heard, Studio, chunks
from v2a_core.miniature.score.zero_shot import EmbedText
from v2a_core.miniature.world import KINDS, Scene
from v2a_core.miniature.world.scenes import Split

Floats = npt.NDArray[np.float32]

SCENES_AT_ONCE = 24
# The paper's method first; it is heard on all scenes, like the regression Transformer.
MAPPERS = {
    "diffusion Transformer": ("diffusion", "transformer", "average"),
    "regression Transformer": ("regression", "transformer", "average"),
    "diffusion MLP": ("diffusion", "mlp", "average"),
    "regression MLP": ("regression", "mlp", "average"),
    "random frame": ("diffusion", "transformer", "random"),
    "middle frame": ("diffusion", "transformer", "middle"),
}
PAPER, REGRESSION = "diffusion Transformer", "regression Transformer"


@dataclass(frozen=True)
class HeldOut:
    """The scenes that are scored.

    Attributes:
        scenes: Of the split that is scored, the kinds in turns.
        real: Their sounds.
        frames: CLIP embeddings of their pictures.
        seeds: Of the noise, one a scene.
        still_scenes: Other scenes, of which there are stills only.
        stills: CLIP embeddings of the stills.
        still_seeds: One a still.
    """

    scenes: list[Scene]
    real: Heard
    frames: Frames
    seeds: list[int]
    still_scenes: list[Scene]
    stills: Frames
    still_seeds: list[int]


@dataclass(frozen=True)
class Systems:
    """What was made for the held-out scenes.

    Attributes:
        made: Sounds by the way they were made; of the mappers that are only compared, those of the first scenes.
        conditions: What the sounds were made from, always of all scenes, (N, D).
        stills: Sounds made for the stills, by the paper's mapper.
        mapped: The mappers.
    """

    made: Mapping[str, Heard]
    conditions: Mapping[str, Floats]
    stills: Heard
    mapped: Mapping[str, Mapped]


def kinds_of(scenes: Sequence[Scene]) -> npt.NDArray[np.int64]:
    """Index of the kind of each scene, (N,)."""
    return np.array([KINDS.index(scene.kind) for scene in scenes])


def observe_held_out(crew: Crew, studio: Studio, settings: ScoreSettings, seed: int) -> HeldOut:
    """See and hear the held-out scenes; `studio` only draws them."""
    count = settings.per_class * len(KINDS)
    indices = range(count)
    stills = range(count, count + settings.stills_per_class * len(KINDS))
    return HeldOut(
        scenes=[studio.scene(settings.split, index) for index in indices],
        real=crew.heard(Studio.listen, [(settings.split, part) for part in chunks(indices)]),
        frames=_see(crew, settings.split, indices),
        seeds=[segment_seed(seed, f"{settings.split}-{index}", "score") for index in indices],
        still_scenes=[studio.scene(settings.split, index) for index in stills],
        stills=_see(crew, settings.split, stills, still=True),
        still_seeds=[segment_seed(seed, f"{settings.split}-{index}", "score") for index in stills],
    )


def train_mappers(
    crew: Crew, held_out: HeldOut, settings: ScoreSettings, seed: int, names: Sequence[str] = tuple(MAPPERS)
) -> dict[str, Mapped]:
    """Mappers, each on the same pairs of the training split, which are noisy as the world has them."""
    train = _pairs(crew, "train", range(settings.pairs))
    # Far from the beginning of that split, which may be what is scored.
    count = max(len(KINDS), settings.pairs // 16)
    validation = _pairs(crew, "validation", range(100_000, 100_000 + count))
    sets = [(held_out.frames, held_out.seeds), (held_out.stills, held_out.still_seeds)]
    jobs = [
        functools.partial(train_and_map, settings.mapper(*kind), settings.training(), train, validation, sets, seed)
        for kind in (MAPPERS[name] for name in names)
    ]
    return dict(zip(names, crew.run(jobs), strict=True))


def make_all(
    crew: Crew, held_out: HeldOut, mapped: Mapping[str, Mapped], text: EmbedText, settings: ScoreSettings
) -> Systems:
    """Make the sounds."""
    conditions = {
        "true embedding": held_out.real.embedding_ND,
        "text": text([scene.caption for scene in held_out.scenes]),
        "no mapper": without_mapper(held_out.frames),
        **{name: found.conditions[0] for name, found in mapped.items()},
    }
    few = min(settings.comparison_per_class * len(KINDS), len(held_out.scenes))
    made = {}
    for name, condition_ND in conditions.items():
        count = few if name in MAPPERS and name not in (PAPER, REGRESSION) else len(held_out.scenes)
        made[name] = crew.make(condition_ND[:count], held_out.seeds[:count])
    made["VAE and vocoder"] = crew.heard(
        Studio.reconstruct, [(settings.split, part) for part in chunks(range(len(held_out.scenes)))]
    )
    stills = crew.make(mapped[PAPER].conditions[1], held_out.still_seeds)
    return Systems(made, conditions, stills, mapped)


def _see(crew: Crew, split: Split, indices: Sequence[int], *, still: bool = False) -> Frames:
    parts = crew.each(Studio.see, [(split, part, still) for part in chunks(indices, SCENES_AT_ONCE)])
    return [frames for part in parts for frames in part]


def _pairs(crew: Crew, split: Split, indices: Sequence[int]) -> SeenAndHeard:
    sounds = crew.each(Studio.embed, [(split, part) for part in chunks(indices, SCENES_AT_ONCE)])
    return SeenAndHeard(_see(crew, split, indices), np.concatenate(sounds))
