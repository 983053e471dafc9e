"""Pack KubeRay's definitions into `crds.json`: `python pack.py CLONE TAG...`; README.md beside it says what that is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

FOLDER = "helm-chart/kuberay-operator/crds"
SHARED_FROM = 150  # characters: what is shorter is not worth a reference


def published(clone: str, tag: str, name: str) -> tuple[str, Any]:
    """Kind and schema of one definition at one release."""
    command = ["git", "-C", clone, "show", f"{tag}:{FOLDER}/ray.io_{name}.yaml"]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    spec = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]
    (version,) = (each for each in spec["versions"] if each["name"] == "v1")
    schema = version["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]
    return spec["names"]["kind"], without_descriptions(schema)


def without_descriptions(node: Any, *, names: bool = False) -> Any:
    """The same without what is for readers; `names`: the keys are names of fields."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if names or key != "description"}
        return {
            key: without_descriptions(value, names=key == "properties" and not names) for key, value in kept.items()
        }
    return [without_descriptions(each) for each in node] if isinstance(node, list) else node


def count(node: Any, counts: Counter[str]) -> None:
    """How often each object occurs; what is inside of one that was seen is not counted again."""
    if isinstance(node, dict):
        text = json.dumps(node, sort_keys=True)
        counts[text] += 1
        if counts[text] > 1:
            return
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        count(each, counts)


def packed(node: Any, names: dict[str, str], *, whole: bool = False) -> Any:
    """The same with references; `whole`: not the node itself."""
    if isinstance(node, dict):
        name = None if whole else names.get(json.dumps(node, sort_keys=True))
        return {"$ref": name} if name else {key: packed(value, names) for key, value in node.items()}
    return [packed(each, names) for each in node] if isinstance(node, list) else node


def main(clone: str, *tags: str) -> None:
    """Write the file."""
    schemas = {}
    for tag in tags:
        for name in ("rayclusters", "rayjobs"):
            kind, schema = published(clone, tag, name)
            schemas[f"{tag.removeprefix('v')}/{kind}"] = schema
    counts: Counter[str] = Counter()
    count(list(schemas.values()), counts)
    shared = [text for text, times in counts.items() if times > 1 and len(text) > SHARED_FROM]
    names = {text: str(number) for number, text in enumerate(shared)}
    lines = {name: packed(json.loads(text), names, whole=True) for text, name in names.items()}
    tables = {"schemas": {name: packed(schema, names) for name, schema in schemas.items()}, "$defs": lines}
    # A line a definition, so that a new release shows as what it changes.
    body = ",\n".join(
        f'"{table}": {{\n'
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}" for name, each in rows.items())
        + "\n}"
        for table, rows in tables.items()
    )
    (Path(__file__).parent / "crds.json").write_text(f"{{\n{body}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
