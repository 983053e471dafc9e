"""What `v2a evaluate --system` found of the systems, as the tables take it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from v2a_core.metrics.base import Score
from v2a_core.reproduction.paper import Column

# The reference's own number of a metric, where it is a metric of its own.
_OF_REFERENCE = {"class_accuracy": "class_accuracy_reference"}


@dataclass(frozen=True)
class Comparison:
    """The `metrics.json` of a comparison.

    Attributes:
        systems: The metrics of each system, by its name and theirs.
        pairs: Differences of systems, the first minus the second, by both names and the metric's.
    """

    systems: Mapping[str, Mapping[str, Mapping[str, Any]]]
    pairs: Mapping[tuple[str, str], Mapping[str, Score]]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Comparison:
        """From what the job returns, and writes."""
        pairs = {
            (item["first"], item["second"]): {name: _score(found) for name, found in item["differences"].items()}
            for item in content.get("pairs", ())
        }
        return cls(content["systems"], pairs)

    def metric(self, column: Column) -> str | None:
        """Which metric measures a column: the first that was measured of some system; None: none was."""
        for name in (*column.metrics, *column.stand_ins):
            if any("value" in metrics.get(name, {}) for metrics in self.systems.values()):
                return name
        return None

    def title(self, metric: str) -> str:
        """What a table calls a metric."""
        return str(next(metrics[metric]["title"] for metrics in self.systems.values() if metric in metrics))

    def score(self, system: str, metric: str) -> Score | None:
        """A system's number; None when it has none."""
        found = self.systems.get(system, {}).get(metric, {})
        return _score(found) if "value" in found else None

    def reference(self, metric: str) -> Score | None:
        """The number of the real sounds: what stands beside a score of sounds and videos, or a metric of their own."""
        for metrics in self.systems.values():
            beside = metrics.get(metric, {}).get("beside", {})
            if "references" in beside:
                return Score(float(beside["references"]), math.nan, math.nan, metrics[metric]["count"])
            found = metrics.get(_OF_REFERENCE.get(metric, ""), {})
            if "value" in found:
                return _score(found)
        return None

    def reason(self, system: str, metrics: Sequence[str]) -> str:
        """Why none of these metrics was measured of a system."""
        if system not in self.systems:
            return "its sounds were not compared"
        reasons = [self.systems[system].get(name, {}).get("not_measured", "") for name in metrics]
        return next((reason for reason in reasons if reason), "not measured")


def _score(found: Mapping[str, Any]) -> Score:
    return Score(found["value"], found.get("low", math.nan), found.get("high", math.nan), found["count"])
