"""The pairs of a run as tensors in memory: all of them, or a worker's share.

Shapes: N pairs, F frames of all of them, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from v2a_core.config import ConfigError
from v2a_core.mappers.aggregators import Places, Seeds, epoch_seeds, places_of
from v2a_core.training.distributed import Shard
from v2a_core.training.reading import Chunk, read_part
from v2a_core.training.selection import SPLIT_NAMES, TRAIN, VALIDATION, Selection


@dataclass
class Pairs:
    """The pairs of one split, on one device; or a worker's share of them.

    Attributes:
        target_NE: Audio embeddings, L2-normalised float32.
        condition_NV: Aggregated visual embeddings, L2-normalised float32; of the current epoch.
        frames_FV: Every frame, float16, when a new one is drawn each epoch; else None.
        offsets_N: Row i's frames are `offsets_N[i]` up to `offsets_N[i + 1]`, int64 (N + 1,).
        keys_N: What tells the segments apart, where frames are drawn.
        places: Which frames are drawn.
        weight_N: What each row counts in the loss, float32; None: 1.
        label_N: Each row's label, int64, -1 without one; None: not known.
        shard: Which rows of the split these are.
        rows: Rows of the whole split; by default these.
    """

    target_NE: Tensor
    condition_NV: Tensor
    frames_FV: Tensor | None = None
    offsets_N: npt.NDArray[np.int64] | None = None
    keys_N: Seeds | None = None
    places: Places | None = None
    weight_N: Tensor | None = None
    label_N: Tensor | None = None
    shard: Shard = field(default_factory=Shard)
    rows: int = -1

    def __post_init__(self) -> None:
        if self.rows < 0:
            self.rows = len(self.target_NE)

    def __len__(self) -> int:
        return self.rows

    def inputs(self, rows_B: Tensor) -> dict[str, Tensor]:
        """Some pairs: `condition` (B, V) and `target` (B, E)."""
        return {"condition": self.condition_NV[rows_B], "target": self.target_NE[rows_B]}

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw each row's frame anew, by (seed, epoch, segment); does nothing for the other aggregators."""
        if self.frames_FV is None or self.offsets_N is None or self.keys_N is None or self.places is None:
            return
        places = self.places(self.offsets_N, epoch_seeds(self.keys_N, seed, epoch))
        drawn_NV = self.frames_FV[torch.from_numpy(places).to(self.frames_FV.device)]
        self.condition_NV = torch.nn.functional.normalize(drawn_NV.float(), dim=-1)


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is judged by.

    Attributes:
        train, validation: The pairs.
        left_out: Rows left out, by reason.
        counts: Usable rows by split.
        label_names: The catalog's labels.
    """

    train: Pairs
    validation: Pairs
    left_out: dict[str, int]
    counts: dict[str, int]
    label_names: Sequence[str] = ()


def load(
    selection: Selection,
    spaces: dict[str, str],
    aggregator: str,
    embedding_dim: int,
    *,
    device: str = "cpu",
    shard: Shard | None = None,
    keep_train: bool = True,
) -> TrainingData:
    """Read the pairs of the training and validation split.

    Args:
        selection: Which rows.
        spaces: The manifest's spaces; every file must be of them.
        aggregator: Computed here, once; for one that draws all frames are kept.
        embedding_dim: E.
        device: Where the tensors go.
        shard: Keep this share of the training rows only.
        keep_train: False: count the training rows, keep none; they are streamed.

    Raises:
        ConfigError: On files of several spaces, embeddings of another width, or too few usable pairs.
        ValueError: For an aggregator that is not known.
    """
    places_of(aggregator)
    train, validation = _Columns(aggregator, device, shard or Shard()), _Columns(aggregator, device)
    left_out = {**selection.left_out, "no embedding": 0, "not finite": 0}
    counts = dict.fromkeys(SPLIT_NAMES, 0)
    for part in range(len(selection.parts)):
        for chunk in read_part(selection, part, spaces, embedding_dim):
            left_out["no embedding"] += chunk.incomplete
            left_out["not finite"] += chunk.infinite
            for name, code in SPLIT_NAMES.items():
                counts[name] += int((chunk.codes == code).sum())
            train.add(chunk, chunk.codes == TRAIN, keep=keep_train)
            validation.add(chunk, chunk.codes == VALIDATION)
    _check_counts(counts, left_out)
    return TrainingData(train.pairs(), validation.pairs(), left_out, counts, selection.label_names)


def _check_counts(counts: Mapping[str, int], left_out: Mapping[str, int]) -> None:
    for name in ("train", "validation"):
        if not counts[name]:
            raise ConfigError(f"no usable pair is left for {name}; left out: {left_out}")


@dataclass
class _Columns:
    """Grows a split, chunk by chunk."""

    aggregator: str
    device: str
    shard: Shard = field(default_factory=Shard)
    rows: int = 0  # of the whole split
    columns: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, chunk: Chunk, rows: npt.NDArray[np.bool_], *, keep: bool = True) -> None:
        """Append this shard's part of the marked rows."""
        number = self.rows + np.cumsum(rows) - 1
        self.rows += int(rows.sum())
        rows = rows & (number % self.shard.workers == self.shard.rank) & keep
        counts = np.diff(chunk.offsets)
        values: dict[str, npt.NDArray[np.generic]] = {"target": chunk.targets[rows], "label": chunk.labels[rows]}
        if chunk.weights is not None:
            values["weight"] = chunk.weights[rows]
        if places_of(self.aggregator):
            values |= {
                "frames": chunk.frames[np.repeat(rows, counts)],
                "counts": counts[rows],
                "keys": chunk.keys[rows],
            }
        else:
            values["condition"] = chunk.conditions(rows, self.aggregator, chunk.keys[rows])
        for name, value in values.items():
            self.columns[name].append(value)

    def pairs(self) -> Pairs:
        """The split as tensors. Where frames are kept, the first epoch's are drawn already."""
        columns = {name: np.concatenate(values) for name, values in self.columns.items()}
        target = _unit(columns["target"].astype(np.float32, copy=False)).to(self.device)
        pairs = Pairs(target, target, shard=self.shard, rows=self.rows)
        pairs.label_N = torch.from_numpy(columns["label"].astype(np.int64)).to(self.device)
        if "weight" in columns:
            pairs.weight_N = torch.from_numpy(columns["weight"]).to(self.device)
        if "condition" in columns:
            pairs.condition_NV = _unit(columns["condition"].astype(np.float32, copy=False)).to(self.device)
        elif len(target):
            pairs.offsets_N = np.concatenate([[0], np.cumsum(columns["counts"])]).astype(np.int64)
            pairs.keys_N, pairs.places = columns["keys"].astype(np.uint64, copy=False), places_of(self.aggregator)
            pairs.frames_FV = torch.from_numpy(columns["frames"]).to(self.device)
            pairs.begin_epoch(0, 0)
        return pairs


def _unit(vectors_ND: npt.NDArray[np.float32]) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(vectors_ND), dim=-1)
