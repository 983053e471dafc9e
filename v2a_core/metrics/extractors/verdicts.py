"""What an independent judge hears: the class of a sound."""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from v2a_core import storage
from v2a_core.config import ConfigError, Settings, setting
from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Floats, Hearing, Sounds
from v2a_core.models import LocalBundle
from v2a_core.models.digests import fingerprint, tree
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT, TEXT

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.judge import Judge

_SETTING = "extractors.judge.weights"


class VerdictSettings(Settings):
    """How the judge is asked."""

    weights: str | None = setting(
        None, "folder or URI of a judge of sounds; none: the one beside the bundle's models, if it has one"
    )
    shortest_s: float = setting(0.2, "a shorter sound is not judged", unit="s", ge=0.1)


class Verdicts(BatchExtractor):
    """The class that a judge hears, and the label of the catalog where the judge knows it."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("judged_class", TEXT, "the label, where it is a class that the judge knows"),
        Column("verdict", TEXT, "the class that the judge heard in the made sound"),
        Column("verdict_probability", FLOAT, "how sure it is; 0 to 1"),
        Column("reference_verdict", TEXT, "the class that it heard in the original"),
    )

    def __init__(self, settings: VerdictSettings, hearing: Hearing) -> None:
        super().__init__(settings, hearing)
        self._shortest_s = settings.shortest_s
        place = _place(settings, hearing.models)
        self._judge = fetch_judge(place) if place else None

    @classmethod
    def weights(cls, settings: Settings | None, models: LocalBundle) -> str | None:
        """Of the judge's files."""
        place = _place(settings, models)
        return judge_fingerprint(place) if place else None

    def extract(self, sounds: Sounds) -> Mapping[str, pa.Array]:
        """Verdicts on what was made and on the originals; all null without a judge."""
        known = set(self._judge.kinds) if self._judge else set()
        verdicts, shares = self._hear(sounds.made)
        return {
            "judged_class": pa.array([label if label in known else None for label in sounds.labels], pa.string()),
            "verdict": pa.array(verdicts, pa.string()),
            "verdict_probability": pa.array(shares, pa.float32()),
            "reference_verdict": pa.array(self._hear(sounds.reference)[0], pa.string()),
        }

    def _hear(self, sounds: Sequence[Pcm | None]) -> tuple[list[str | None], list[float | None]]:
        """Verdicts and their probabilities; sounds of one length and rate are judged together."""
        verdicts: list[str | None] = [None] * len(sounds)
        shares: list[float | None] = [None] * len(sounds)
        if self._judge is None:
            return verdicts, shares
        groups: defaultdict[tuple[int, int], list[tuple[int, Floats]]] = defaultdict(list)
        for row, pcm in enumerate(sounds):
            if pcm is not None and pcm.length_s >= self._shortest_s:
                sound = self.hearing.protocol.mono(pcm)
                groups[len(sound), pcm.sample_rate].append((row, sound))
        for (_, rate), group in groups.items():
            heard = self._judge.hear(np.stack([sound for _, sound in group]), rate)
            for (row, _), probabilities_K in zip(group, heard.probabilities_BK, strict=True):
                best = int(np.argmax(probabilities_K))
                verdicts[row], shares[row] = self._judge.kinds[best], float(probabilities_K[best])
        return verdicts, shares


def _place(settings: Settings | None, models: LocalBundle) -> str | None:
    named = settings.weights if isinstance(settings, VerdictSettings) else None
    return named or own_judge(models)


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


@contextlib.contextmanager
def _copied(uri: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        try:
            storage.copy_tree(uri, Path(folder))
        except FileNotFoundError:
            raise ConfigError(f"{_SETTING} = {uri!r}: no such folder") from None
        yield Path(folder)


EXTRACTORS.add("judge", Verdicts, VerdictSettings)
