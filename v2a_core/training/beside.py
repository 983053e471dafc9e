"""A selection of embeddings, with the columns of a sidecar joined to it."""

from __future__ import annotations

import dataclasses
import sys

from v2a_core.outputs.joining import NOWHERE, meet, width_and_numbers
from v2a_core.outputs.sidecar import JOB, Sidecar
from v2a_core.storage.public import public
from v2a_core.tables.beside import FRAMES
from v2a_core.training.selection import Selection

_OFTEN = 16  # readings of a part that are worth a word
NO_ROW, REJECTED_BESIDE = "no row beside", "rejected beside"


def join(selection: Selection, embeddings: str, sidecar: Sidecar | None) -> Selection:
    """The rows that have a good one in a sidecar, to be read with its columns; the others are left out, and counted.

    Args:
        selection: Of the embeddings.
        embeddings: Folder or URI.
        sidecar: What lies beside them; None: nothing, and the selection stays as it is.

    Raises:
        ConfigError: When nothing is left to train on or to judge by, or none of the rows has one.
    """
    if sidecar is None:
        return selection
    met = meet(embeddings, selection.parts, sidecar)
    if met.alone:
        print(
            f"{met.alone} rows of {public(sidecar.uri)} have no row in {public(embeddings)}: they are not used",
            file=sys.stderr,
            flush=True,
        )
    if met.readings > _OFTEN:
        print(
            f"the rows of {public(sidecar.uri)} lie in another order than those of {public(embeddings)}: each of its "
            f"parts is read {met.readings:.0f} times; `v2a {JOB}` on the catalog in its first order writes them alike",
            file=sys.stderr,
            flush=True,
        )
    left = selection.without(met.numbers_N == NOWHERE, NO_ROW).without(met.rejected_N, REJECTED_BESIDE)
    joined = dataclasses.replace(left, beside=met.beside, beside_N=met.numbers_N)
    if FRAMES not in sidecar.groups:
        return joined
    width, numbers = width_and_numbers(met.beside)
    return dataclasses.replace(joined, vision_dim=width, frames=numbers // width)
