"""Alerts and dashboard: what Prometheus and Grafana load. tests/workflows/streaming/test_metrics.py asks a real run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter

import pytest
import yaml
from helpers_monitoring import MONITORING, alerts, panels

ROOT = MONITORING.parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_promtool_takes_the_alerts_and_their_tests(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus` brings it")
    done = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_to_be_raised_and_explained() -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
    looked = [look for test in tests for look in test["alert_rule_test"]]
    raised = {look["alertname"] for look in looked if look["exp_alerts"]}
    names = [rule["alert"] for rule in alerts()]
    assert raised == set(names)
    assert len(names) == len(set(names))
    for name in names:
        assert f"`{name}`" in OPERATIONS, f"docs/operations.md does not say what to do on {name}"


def test_every_alert_says_how_bad_it_is_and_what_it_is() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_every_panel_of_the_dashboard_asks_something_and_has_a_place() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    ids = Counter(panel["id"] for panel in dashboard["panels"])
    assert set(ids.values()) == {1}
    places: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & places, f"{panel['title']} lies on another panel"
        assert place["x"] + place["w"] <= 24
        places |= cells
    for panel in panels():
        assert panel["targets"], panel["title"]
        assert all(target["expr"].strip() for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))


def test_the_dashboard_asks_only_what_it_lets_choose() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    text = json.dumps(dashboard)
    used = set(re.findall(r"\$\{?([a-z]\w*)\}?", text))
    assert used == variables == {"datasource", "run"}


def test_rows_of_the_dashboard() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == [
        "Progress and rates",
        "Rejects by reason",
        "Stages",
        "Object store and spilling",
        "Memory",
        "Storage",
        "Training",
    ]
