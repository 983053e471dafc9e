"""What an independent judge hears: the class of a sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from v2a_core.config import Settings, setting
from v2a_core.metrics import inputs
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Floats, Hearing, Sounds, own_sound
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
        verdicts, shares = self._hear(sounds.made, sounds.lengths_s)
        return {
            "judged_class": pa.array([label if label in known else None for label in sounds.labels], pa.string()),
            "verdict": pa.array(verdicts, pa.string()),
            "verdict_probability": pa.array(shares, pa.float32()),
            "reference_verdict": pa.array(self._hear(sounds.reference, sounds.lengths_s)[0], pa.string()),
        }

    def _hear(
        self, waveforms: Sequence[Floats | None], lengths_s: Sequence[float | None]
    ) -> tuple[list[str | None], list[float | None]]:
        """Verdicts and their probabilities; sounds of one length are judged together."""
        verdicts: list[str | None] = [None] * len(waveforms)
        shares: list[float | None] = [None] * len(waveforms)
        if self._judge is None:
            return verdicts, shares
        groups: defaultdict[int, list[tuple[int, Floats]]] = defaultdict(list)
        for row, (waveform, length_s) in enumerate(zip(waveforms, lengths_s, strict=True)):
            if waveform is not None and length_s is not None and length_s >= self._shortest_s:
                sound = own_sound(waveform, length_s, self.hearing.spec)
                groups[len(sound)].append((row, sound))
        for group in groups.values():
            heard = self._judge.hear(np.stack([sound for _, sound in group]), self.hearing.spec.audio_sample_rate)
            for (row, _), probabilities_K in zip(group, heard.probabilities_BK, strict=True):
                best = int(np.argmax(probabilities_K))
                verdicts[row], shares[row] = self._judge.kinds[best], float(probabilities_K[best])
        return verdicts, shares


EXTRACTORS.add("judge", Verdicts, VerdictSettings)
