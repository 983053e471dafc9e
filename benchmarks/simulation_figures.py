"""The figures of `simulate.py`, from its JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "slots": "#4477aa",
    "gpus": "#66ccee",
    "driver": "#ee6677",
    "commit": "#aa3377",
    "storage": "#ccbb44",
    "listing": "#228833",
}


def draw(told: dict[str, Any], folder: Path) -> Iterator[Path]:
    """Draw all figures; yields their files."""
    for name, figure in {
        "calibration": _calibration(told["calibration"]),
        "scale": _scale(told),
        "limits": _limits(told["scaled"]),
        "settings": _settings(told["settings"], told["nodes"]),
        "waves": _waves(told["waves"]),
    }.items():
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120)
        plt.close(figure)
        yield path


def _calibration(found: dict[str, Any]) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.plot(found["workers"], found["simulated_s"], "o--", color="#ee6677", label="simulated")
    axis.plot(found["workers"], found["measured_s"], "s", color="#4477aa", label="real Ray, sleeping stages")
    axis.axvspan(found["held_out"] * 0.94, found["held_out"] * 1.06, color="#dddddd", label="held out of the fit")
    axis.set(xlabel="workers at once", ylabel="seconds", title=f"Held out: error {found['error']:.1%}")
    axis.set_ylim(0)
    axis.legend()
    return figure


def _scale(told: dict[str, Any]) -> plt.Figure:
    scaled = told["scaled"]
    nodes = [item["nodes"] for item in scaled]
    rates = [told["segments"] / item["seconds"] for item in scaled]
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axis.loglog(nodes, rates, "o-", color="#4477aa", label="simulated")
    axis.loglog(nodes, [rates[0] * count / nodes[0] for count in nodes], ":", color="#888888", label="in proportion")
    for item, rate in zip(scaled, rates, strict=True):
        axis.annotate(
            item["first"], (item["nodes"], rate), (0, -14), textcoords="offset points", ha="center", fontsize=9
        )
    axis.set(
        xlabel="nodes (14 decode slots and 1 GPU each)",
        ylabel="segments a second, from start to end",
        title=f"{told['segments'] / 1e6:g} million segments, and the busiest part\n(all of it extrapolated)",
    )
    axis.margins(y=0.2)
    axis.legend(loc="upper left")
    return figure


def _limits(scaled: list[dict[str, Any]]) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    nodes = [item["nodes"] for item in scaled]
    for name, colour in COLOURS.items():
        axis.semilogx(nodes, [100 * item["busy"][name] for item in scaled], "o-", color=colour, label=name)
    axis.set(xlabel="nodes", ylabel="% of its time at work", title="What is busy (extrapolated)")
    axis.set_ylim(0, 103)
    axis.legend(ncols=2, fontsize=9)
    return figure


def _settings(found: list[dict[str, Any]], nodes: int) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(10, 4.6), layout="constrained")
    names = [item["setting"] for item in found]
    hours = [item["seconds"] / 3600 for item in found]
    bars = axis.barh(names, hours, color=[COLOURS[item["first"]] for item in found])
    labels = [f"{hour:.1f} h, {item['first']}" for hour, item in zip(hours, found, strict=True)]
    axis.bar_label(bars, labels, padding=3, fontsize=9)
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.set(xlabel="hours", title=f"{nodes:,} nodes: what a setting changes, and what is busiest then (extrapolated)")
    return figure


def _waves(found: list[dict[str, Any]]) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.plot([item["waves"] for item in found], [100 * item["slots_used"] for item in found], "o-", color="#4477aa")
    axis.axhline(90, ls=":", color="#888888")
    axis.set(
        xlabel="blocks for each decode slot", ylabel="% of the slots' time used", title="Blocks by work (extrapolated)"
    )
    axis.set_ylim(0, 102)
    return figure
