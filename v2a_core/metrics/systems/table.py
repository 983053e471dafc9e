"""Metrics of sets as a table for people: systems side by side, with intervals, and what stands beside a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from v2a_core.metrics.base import Score
from v2a_core.metrics.systems.measure import SetResult, differences


def not_heard_to_markdown(not_heard: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """How many sounds a network has nothing of, and why; by system (empty: a single one) and network."""
    lines = [
        f"- {', '.join(filter(None, (_plain(system), extractor)))}: {sum(reasons.values())} "
        f"({', '.join(f'{_plain(reason)} {count}' for reason, count in sorted(reasons.items()))})"
        for system, found in not_heard.items()
        for extractor, reasons in found.items()
    ]
    return "\n".join(["", "Sounds that a network has nothing of:", "", *lines, ""]) if lines else ""


def sets_to_markdown(results: Mapping[str, Sequence[SetResult]], confidence: float) -> str:
    """The metrics of sets of one or several systems, and why others were not measured.

    Args:
        results: Of each system, by its name; a single one needs none.
        confidence: Of the intervals.
    """
    systems, first = list(results), next(iter(results.values()))
    measured = [n for n, _ in enumerate(first) if any(results[name][n].estimate for name in systems)]
    lines: list[str] = []
    if measured:
        titles = [f"{_plain(name)} | interval | sounds" if name else "value | interval | sounds" for name in systems]
        lines += ["", f"With {confidence:.0%} intervals from leaving out groups of sources:", ""]
        lines += [
            f"| metric | better | {' | '.join(titles)} | beside it |",
            f"|---|---|{'---:|---:|---:|' * len(systems)}---|",
        ]
        for number in measured:
            row = [results[name][number] for name in systems]
            cells = [_cells(result, confidence) for result in row]
            lines.append(f"| {row[0].title} | {row[0].better} | {' | '.join(cells)} | {_beside(row)} |")
    lines += _differences(results, confidence) if len(systems) > 1 else []
    lines += _reasons(results)
    return "\n".join([*lines, ""]) if lines else ""


def _cells(result: SetResult, confidence: float) -> str:
    if result.estimate is None:
        return "not measured | | "
    score = result.estimate.score(confidence)
    return f"{score.value:.3f} | {_interval(score)} | {score.count}"


def _beside(row: Sequence[SetResult]) -> str:
    estimate = next(result.estimate for result in row if result.estimate)
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in estimate.beside.items())


def _differences(results: Mapping[str, Sequence[SetResult]], confidence: float) -> list[str]:
    """Each system against the first one."""
    found = differences(results, confidence)
    first, *others = results
    if not found:
        return []
    titles = {result.name: result.title for result in results[first]}
    lines = ["", f"Minus {_plain(first)}, with intervals of the pairs:", ""]
    lines += [f"| metric | {' | '.join(map(_plain, others))} |", f"|---|{'---:|' * len(others)}"]
    for name, scores in found.items():
        cells = [f"{scores[o].value:+.3f} ({_interval(scores[o])})" if o in scores else "" for o in others]
        lines.append(f"| {titles[name]} | {' | '.join(cells)} |")
    return lines


def _reasons(results: Mapping[str, Sequence[SetResult]]) -> list[str]:
    """Why metrics were not measured, each reason once."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for system, found in results.items():
        for result in found:
            if result.estimate is None:
                systems = by_reason.setdefault(_plain(result.reason), {})
                systems.setdefault(system, []).append(result.title)
    lines: list[str] = []
    for reason, by_system in by_reason.items():
        same = len(by_system) == len(results) and len({tuple(titles) for titles in by_system.values()}) == 1
        for system, titles in list(by_system.items())[: 1 if same else None]:
            lines.append(f"- {'' if same else f'{_plain(system)}: '}{', '.join(titles)}: {reason}")
    return ["", "Not measured:", "", *lines] if lines else []


def _interval(score: Score) -> str:
    return "" if math.isnan(score.low) else f"{score.low:.3f} to {score.high:.3f}"


def _plain(text: str) -> str:
    """Names come from people: no markup, no new cells."""
    return " ".join(text.replace("|", "/").replace("<", "(").replace(">", ")").split())
