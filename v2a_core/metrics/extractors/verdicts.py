"""What an independent judge hears: the class of a sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from v2a_core.config import Settings, setting
from v2a_core.media.types import Pcm
from v2a_core.metrics import inputs
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Floats, Hearing, Sounds
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT, TEXT


class VerdictSettings(Settings):
    """How the judge is asked."""

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
        self._judge = inputs.fetch_judge(hearing.judge) if hearing.judge else None

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


EXTRACTORS.add("judge", Verdicts, VerdictSettings)
