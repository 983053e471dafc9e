"""Words beside pictures: what a prompt adds to the mapped condition, and what a negative prompt leads away from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.catalog import Source, Sources
from v2a_core.compute.ids import Ids, IdTable, pack
from v2a_core.config import Settings, setting
from v2a_core.outputs.ledger import read_columns
from v2a_core.stages.slerp import slerp
from v2a_core.tables.schema import OK

Floats = npt.NDArray[np.float32]
EmbedText = Callable[[Sequence[str]], Floats]

_REMEMBERED = 4096  # 8 MB; most catalogs repeat their prompts


class TextSettings(Settings):
    """Text for the sound. A `prompt` or `negative_prompt` column of the catalog goes before these."""

    prompt: str = setting("", "what shall be heard, beside what is seen", flag="--prompt")
    negative_prompt: str = setting("", "what shall not be heard", flag="--negative-prompt")
    weight: float = setting(
        0.5, "of the prompt, where there is one: 0 what is seen, 1 the prompt", flag="--text-weight", ge=0, le=1
    )


def words_of(source: Source, settings: TextSettings) -> tuple[str | None, str | None]:
    """Prompt and negative prompt of a source."""
    return (
        source.prompt or settings.prompt or None,
        source.negative_prompt or settings.negative_prompt or None,
    )


def said_otherwise(index: str, sources: Sources, ids: Ids, settings: TextSettings) -> list[str]:
    """Names of sources whose soundtrack was made with other words than the catalog says now.

    Args:
        index: Folder or URI of an index.
        sources: The catalog.
        ids: The id of each source.
        settings: What is said of all of them.
    """
    table = read_columns(index, ["source_id", "status", "prompt", "negative_prompt"])
    if table is None:
        return []
    places = IdTable(ids).find(pack(table["source_id"]))
    listed = (places >= 0) & pc.equal(table["status"], OK).to_numpy()
    made = table.filter(pa.array(listed))
    words = zip(made["prompt"].to_pylist(), made["negative_prompt"].to_pylist(), strict=True)
    said = dict(zip(places[listed].tolist(), words, strict=True))
    at = np.array(sorted(said), np.int64)
    return [
        source.name
        for place, source in zip(at.tolist(), sources.take(at), strict=True)
        if said[place] != words_of(source, settings)
    ]


class TextConditions:
    """Conditions from what is seen and what is said.

    Args:
        settings: What is said of all sources.
        embed: CLAP's text embedding: texts to float32 (N, D), L2-normalised.
    """

    def __init__(self, settings: TextSettings, embed: EmbedText) -> None:
        self._settings, self._embed = settings, embed
        self._known: dict[str, Floats] = {}

    def prompts(self, source: Source) -> tuple[str | None, str | None]:
        """Prompt and negative prompt of a source."""
        return words_of(source, self._settings)

    def mix(self, seen_ND: Floats, prompt: str | None) -> Floats:
        """The conditions of a source: on the sphere between what is seen and the prompt, float32 (N, D)."""
        if prompt is None:
            return seen_ND
        return slerp(seen_ND, self.embed(prompt)[None], self._settings.weight)

    def embed(self, text: str) -> Floats:
        """CLAP's embedding of a text, float32 (D,)."""
        if text not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = self._embed([text])[0]
        return self._known[text]
