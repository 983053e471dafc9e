"""In which order a listener gets items, and the systems of each item: forms, one for each listener.

Shapes: I items, S systems, R rows of a Latin square, F forms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Orders = npt.NDArray[np.int64]

_TRIES = 40


@dataclass(frozen=True)
class Shown:
    """An item in a form.

    Attributes:
        item: Which one.
        systems: The systems in the order in which they stand side by side.
        repeat: Whether it was shown before.
    """

    item: int
    systems: tuple[int, ...]
    repeat: bool = False


def williams_square(systems: int) -> Orders:
    """Orders in which each system is at each place equally often, and follows each other equally often, (R, S).

    R is S, or twice that where S is odd. Source: E. J. Williams, Experimental designs balanced for the estimation of
    residual effects of treatments, Australian Journal of Scientific Research A 2 (1949).
    """
    first = [0]
    for step in range(1, systems):
        first.append((step + 1) // 2 if step % 2 else systems - step // 2)
    rows = (np.array(first)[None] + np.arange(systems)[:, None]) % systems
    return rows if systems % 2 == 0 else np.concatenate([rows, rows[:, ::-1]])


def balanced_orders(items: int, systems: int, forms: int, random: np.random.Generator) -> Orders:
    """Orders of the systems, (F, I, S); F is the asked number, rounded up to whole squares.

    Over the forms of a square, each item has each row of a Williams square once; its systems take their parts in it by
    lot, so that orders tell nothing of who is who. Of several draws the one is taken that also spreads systems over
    places within each form.
    """
    square_RS = williams_square(systems)
    blocks = -(-forms // len(square_RS))
    orders_FIS = np.zeros((blocks * len(square_RS), items, systems), np.int64)
    places_FSS = np.zeros((len(orders_FIS), systems, systems))  # how often a system was at a place
    for start in range(0, len(orders_FIS), len(square_RS)):
        block = slice(start, start + len(square_RS))
        for item in range(items):
            draws = [random.permutation(random.permutation(systems)[square_RS]) for _ in range(_TRIES)]
            unevenness = [np.square(places_FSS[block] + _places(draw)).sum() for draw in draws]
            best_RS = draws[int(np.argmin(unevenness))]
            orders_FIS[block, item] = best_RS
            places_FSS[block] += _places(best_RS)
    return orders_FIS


def make_forms(
    items: int, systems: int, forms: int, repeats: int, random: np.random.Generator
) -> list[tuple[Shown, ...]]:
    """Forms of a test.

    Args:
        items: How many items.
        systems: How many systems.
        forms: How many forms at least.
        repeats: How many items of each form are shown again at its end, in the opposite order of systems.
        random: Decides.
    """
    made = []
    for orders_IS in balanced_orders(items, systems, forms, random):
        sequence = random.permutation(items)
        # Of the first half: what was just heard would be remembered.
        again = random.permutation(sequence[: max(1, items // 2)])[: min(repeats, items - 1)]
        shown = [Shown(int(item), tuple(orders_IS[item].tolist())) for item in sequence]
        repeated = [Shown(int(item), tuple(orders_IS[item][::-1].tolist()), repeat=True) for item in again]
        made.append((*shown, *repeated))
    return made


def _places(orders_RS: Orders) -> npt.NDArray[np.float64]:
    """One-hot: which system is at which place, (R, S, S)."""
    hot: npt.NDArray[np.float64] = (orders_RS[..., None] == np.arange(orders_RS.shape[1])).astype(np.float64)
    return hot
