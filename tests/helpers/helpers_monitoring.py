"""What Prometheus and Grafana ask for, and what an endpoint of Ray answers."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

MONITORING = Path(__file__).parents[2] / "cluster" / "monitoring"
NAME = re.compile(r"\bray_\w+")


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, without its rows."""
    found = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    """The rules, of all groups."""
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def asked() -> set[str]:
    """Names of series of Ray and the program in all queries."""
    queries = [rule["expr"] for rule in alerts()]
    queries += [target["expr"] for panel in panels() for target in panel["targets"]]
    return {name for query in queries for name in NAME.findall(query)}


def of_training(names: set[str]) -> set[str]:
    """Those of them that a training alone exports."""
    return {name for name in names if name.startswith(("ray_v2a_training_", "ray_v2a_last_checkpoint_"))}


def scrape(url: str) -> Iterator[Sample]:
    """What an endpoint exports now."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            yield from family.samples
