"""What an independent judge hears: the class of a sound.

Its verdicts have folders of their own, as what networks hear: another judge is asked alone, and nothing else is heard
again.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pyarrow as pa

from v2a_core import storage
from v2a_core.config import ConfigError, Settings, setting
from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import Floats, HearingExtractor, Weights
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import Bundle, LocalBundle, ModelError
from v2a_core.models.digests import fingerprint, tree
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT, TEXT

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.judge import Judge

JUDGE = "judge"
_SETTING = f"extractors.{JUDGE}.weights"


class VerdictSettings(Settings):
    """How the judge is asked."""

    weights: str | None = setting(
        None, "folder or URI of a judge of sounds; none: the one beside the bundle's models, if it has one"
    )
    shortest_s: float = setting(0.2, "a shorter sound is not judged", unit="s", ge=0.1)


class Verdicts(HearingExtractor):
    """The class that a judge hears in each sound.

    Args:
        judge: Loaded.
        shortest_s: A shorter sound has no verdict, in seconds.
    """

    with_silence: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("verdict", TEXT, "the class that the judge heard; null of a sound that is too short"),
        Column("verdict_probability", FLOAT, "how sure it is; 0 to 1"),
    )
    sizes: ClassVar[Mapping[str, int]] = {}
    joined: ClassVar[tuple[str, ...]] = ("judged_class", "verdict", "reference_verdict")

    def __init__(self, judge: Judge, shortest_s: float) -> None:
        self._judge, self._shortest_s = judge, shortest_s

    @classmethod
    def missing(cls, name: str) -> str:
        """Nobody named one."""
        return f"there is no judge beside the bundle's models: give {_SETTING}"

    @classmethod
    def check(cls, weights: Weights) -> None:
        """It can be loaded."""
        cls.opened(weights, "cpu")

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """Fetch and load it; it is small, and stays on the CPU.

        Raises:
            ConfigError: When there is none.
            ModelError: When it is another one than that of `weights`.
        """
        place = weights.source
        if weights.bundle is not None:
            place = own_judge(weights.bundle.resolve()) or ""
        if judge_fingerprint(place) != weights.sha256:
            raise ModelError(f"the judge {place!r} is another one than that of {weights.sha256}")
        return cls(fetch_judge(place), float(str(weights.options["shortest_s"])))

    def extract(self, sounds: Sequence[Pcm], protocol: Protocol) -> Mapping[str, pa.Array]:
        """Verdicts and their probabilities; sounds of one length and rate are judged together."""
        verdicts: list[str | None] = [None] * len(sounds)
        shares: list[float | None] = [None] * len(sounds)
        groups: defaultdict[tuple[int, int], list[tuple[int, Floats]]] = defaultdict(list)
        for row, pcm in enumerate(sounds):
            if pcm.length_s >= self._shortest_s:
                sound_T = protocol.mono(pcm)
                groups[len(sound_T), pcm.sample_rate].append((row, sound_T))
        for (_, rate), group in groups.items():
            heard = self._judge.hear(np.stack([sound_T for _, sound_T in group]), rate)
            for (row, _), probabilities_K in zip(group, heard.probabilities_BK, strict=True):
                best = int(np.argmax(probabilities_K))
                verdicts[row], shares[row] = self._judge.kinds[best], float(probabilities_K[best])
        return {"verdict": pa.array(verdicts, TEXT), "verdict_probability": pa.array(shares, FLOAT)}


def find_judge(settings: VerdictSettings, bundle: Bundle, models: LocalBundle) -> Weights | None:
    """The judge that the settings name, or that lies beside the models; None when there is none.

    Args:
        settings: Of the judge.
        bundle: The bundle as workers get it.
        models: The same on this machine.

    Raises:
        ConfigError: When it cannot be had.
    """
    options = {"shortest_s": settings.shortest_s}
    if settings.weights is not None:
        return Weights(JUDGE, settings.weights, judge_fingerprint(settings.weights), options=options)
    own = own_judge(models)
    return Weights(JUDGE, own, judge_fingerprint(own), bundle, options) if own else None


def own_judge(models: LocalBundle) -> str | None:
    """The folder of the judge that lies beside the models of a bundle, if there is one.

    It judges sounds, so it may lie beside the bundle's ears or its generator when the eyes come from elsewhere.
    """
    parts = models.parts()
    for name in ("audio", "generator", "vision"):
        path = parts[name].path
        place = path if path.is_dir() else path.parent
        folder = place.parent / "judge"
        if (folder / "config.json").is_file():
            return str(folder)
    return None


def fetch_judge(uri: str) -> Judge:
    """A judge from a folder or URI.

    Raises:
        ConfigError: When there is none.
    """
    from v2a_core.metrics.extractors.judge import load_judge

    with _copied(uri) as folder:
        try:
            return load_judge(folder)
        except FileNotFoundError:
            raise ConfigError(f"{_SETTING} = {uri!r} holds no judge: no config.json and judge.safetensors") from None


def judge_fingerprint(uri: str) -> str:
    """Sha256 of a judge's files.

    Raises:
        ConfigError: When there are none.
    """
    with _copied(uri) as folder:
        return fingerprint(tree(folder))


def judge_kinds(weights: Weights) -> frozenset[str]:
    """The classes that a judge knows.

    Args:
        weights: Of the judge, as `find_judge` found it.
    """
    config = storage.read_json(storage.join(weights.source, "config.json"))
    return frozenset(config["kinds"])


@contextlib.contextmanager
def _copied(uri: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        try:
            storage.copy_tree(uri, Path(folder))
        except FileNotFoundError:
            raise ConfigError(f"{_SETTING} = {uri!r}: no such folder") from None
        yield Path(folder)


EXTRACTORS.add(JUDGE, Verdicts, VerdictSettings)
