"""The manifests of cluster/kubernetes/ as `kubectl apply -k` would send them, and what Kubernetes would say of them."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celpy
import celpy.adapter
import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "cluster" / "kubernetes"
OVERLAYS = ("eks", "gke", "on-premise")
OPTIONS = ("kueue", "logs")
KUBERAY = ("1.5.1", "1.6.2", "1.7.0")
_PACKED = ROOT / "tests" / "cluster" / "kuberay" / "crds.json"


@functools.cache
def built(overlay: str, *options: str) -> list[dict[str, Any]]:
    """All objects of an overlay, with options (components) switched on as its comment says."""
    if not options:
        return _build(KUBERNETES / overlay)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        shutil.copytree(KUBERNETES, copy)
        file = copy / overlay / "kustomization.yaml"
        text = file.read_text(encoding="utf-8")
        line = "# components: [../kueue, ../logs]\n"
        assert line in text
        chosen = ", ".join(f"../{each}" for each in options)
        file.write_text(text.replace(line, f"components: [{chosen}]\n"), encoding="utf-8")
        return _build(copy / overlay)


def _build(folder: Path) -> list[dict[str, Any]]:
    kubectl = Path(sys.prefix) / "bin" / "kubectl"  # of the `dev` extra
    command = [str(kubectl) if kubectl.exists() else "kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def pods(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod template inside of a document, with where it stands."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(node, dict):
            if "containers" in node.get("spec", {}) if isinstance(node.get("spec"), dict) else False:
                yield path, node
            for key, value in node.items():
                yield from walk(value, f"{path}.{key}")
        elif isinstance(node, list):
            for number, value in enumerate(node):
                yield from walk(value, f"{path}[{number}]")

    return walk(document, document["kind"])


def complaints(document: dict[str, Any], kuberay: str) -> list[str]:
    """What an API server would refuse in an object, by KubeRay's published definitions, else by Kubernetes' own.

    Unknown fields count, as with `kubectl apply --validate=strict`.
    """
    name = f"{kuberay}/{document['kind']}"
    if name in _schemas():
        schema = _schemas()[name]
        found = [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(document)]
        return found + list(_broken_rules(schema, document, document["kind"]))
    try:
        kubernetes_validate.validate(document, "1.34", strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [str(error)]
    return []


@functools.cache
def _schemas() -> dict[str, Any]:
    packed = json.loads(_PACKED.read_text(encoding="utf-8"))

    @functools.cache
    def definition(name: str) -> Any:
        return unpacked(packed["$defs"][name])

    def unpacked(node: Any, *, names: bool = False) -> Any:
        if isinstance(node, list):
            return [unpacked(each) for each in node]
        if not isinstance(node, dict):
            return node
        if not names and "$ref" in node:
            return definition(node["$ref"])
        whole = {key: unpacked(value, names=key == "properties" and not names) for key, value in node.items()}
        if not names and "properties" in whole and not whole.get("x-kubernetes-preserve-unknown-fields"):
            whole.setdefault("additionalProperties", False)
        return whole

    return {name: unpacked(schema) for name, schema in packed["schemas"].items()}


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_schemas()[name])


def _broken_rules(schema: Any, value: Any, path: str) -> Iterator[str]:
    """Rules in CEL that a value breaks; those that compare with what was before (`oldSelf`) are for updates."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{path}: {rule['message']}"
    if isinstance(value, dict):
        for key, each in value.items():
            inside = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(inside, dict):
                yield from _broken_rules(inside, each, f"{path}.{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _broken_rules(schema.get("items", {}), each, f"{path}[{number}]")


def _holds(rule: str, value: Any) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule))
    return bool(program.evaluate({"self": celpy.adapter.json_to_cel(value)}))
