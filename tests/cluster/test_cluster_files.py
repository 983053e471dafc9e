"""The deployment files: valid for the tools that read them, one Ray version, no secrets."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


def _yaml(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


# The launcher


@pytest.fixture
def launcher() -> dict[str, Any]:
    return _yaml("aws/cluster.yaml")


def test_launcher_passes_rays_schema(launcher: dict[str, Any]) -> None:
    config = prepare_config(copy.deepcopy(launcher))
    validate_config(config)
    # Ray's own defaults would install another Ray on the machines.
    assert config["setup_commands"] == config["head_setup_commands"] == config["worker_setup_commands"] == []
    with pytest.raises(jsonschema.ValidationError, match="setup_comands"):
        validate_config({**config, "setup_comands": []})


def test_launcher_has_a_head_without_tasks_and_two_kinds_of_workers(launcher: dict[str, Any]) -> None:
    types = launcher["available_node_types"]
    head = types.pop(launcher["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert {name for name, each in types.items() if each["resources"].get("GPU")} == {
        "gpu",
        "gpu-spot",
        "gpu-spot-older",
    }
    # A job can count on one of each; the rest is what the autoscaler may choose from.
    assert {name for name, each in types.items() if each["min_workers"]} == {"decode", "gpu"}
    for name, each in types.items():
        assert each["min_workers"] <= each["max_workers"], name
        assert each["resources"]["CPU"] >= 1
    kinds = {each["node_config"]["InstanceType"] for each in types.values()}
    assert len(kinds) == 4
    spot = {name for name, each in types.items() if "InstanceMarketOptions" in each["node_config"]}
    assert spot == types.keys() - {"gpu"}
    assert "InstanceMarketOptions" not in head["node_config"]


def test_launcher_spills_to_the_disk_of_the_machine(launcher: dict[str, Any]) -> None:
    (mount,) = [each for each in launcher["initialization_commands"] if "mkfs" in each]
    subprocess.run(["bash", "-n"], input=mount, text=True, check=True)
    (volume,) = [each for each in launcher["docker"]["run_options"] if each.startswith("--volume")]
    outside, inside = volume.split()[1].split(":")
    assert f"{outside}/spill" in mount
    assert f"--env V2A_CACHE={inside}/models" in launcher["docker"]["run_options"]
    for command in (launcher["head_start_ray_commands"][-1], launcher["worker_start_ray_commands"][-1]):
        assert f"--object-spilling-directory={inside}/spill" in command
        words = shlex.split(command.replace("~", "/home/ray").replace("$RAY_HEAD_IP", "head"))
        start.make_context("ray start", words[2:], resilient_parsing=True)  # refuses an option that Ray does not know


@pytest.mark.parametrize(
    "disks", ["nvme1n1 Amazon EC2 NVMe Instance Storage", "nvme0n1 Amazon Elastic Block Store", ""]
)
def test_only_an_empty_disk_of_the_machine_is_formatted(launcher: dict[str, Any], tmp_path: Path, disks: str) -> None:
    """The real script, with commands that only tell what they are asked to do."""
    (mount,) = [each for each in launcher["initialization_commands"] if "mkfs" in each]
    for name, body in (("sudo", 'echo "$@"'), ("mountpoint", "exit 1"), ("lsblk", f"echo '/dev/{disks}'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-ec", mount], env={"PATH": path}, capture_output=True, text=True, check=True)
    formatted = re.findall(r"^mkfs.* (\S+)$", done.stdout, re.MULTILINE)
    assert formatted == (["/dev/nvme1n1"] if "Instance Storage" in disks else [])


def test_roles_may_use_one_bucket_and_the_head_may_start_workers(launcher: dict[str, Any]) -> None:
    bucket = json.loads((CLUSTER / "aws" / "bucket-policy.json").read_text())
    for statement in bucket["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement["Resource"].startswith("arn:aws:s3:::REPLACE_BUCKET")
        assert not [action for action in statement["Action"] if "*" in action]
    head = json.loads((CLUSTER / "aws" / "head-policy.json").read_text())
    passed = [each["Resource"] for each in head["Statement"] if each["Action"] == "iam:PassRole"]
    profiles = {
        name: each["node_config"]["IamInstanceProfile"]["Name"]
        for name, each in launcher["available_node_types"].items()
    }
    assert profiles.pop("head") == "v2a-head"
    assert set(profiles.values()) == {"v2a-worker"}
    assert passed == ["arn:aws:iam::REPLACE_ACCOUNT:role/v2a-worker"]
    ended = next(each for each in head["Statement"] if "ec2:TerminateInstances" in each["Action"])
    assert ended["Condition"]["StringEquals"] == {"ec2:ResourceTag/ray-cluster-name": launcher["cluster_name"]}


def test_launcher_starts_ray_with_a_token_and_a_private_dashboard(launcher: dict[str, Any]) -> None:
    assert "--env RAY_AUTH_MODE=token" in launcher["docker"]["run_options"]
    assert launcher["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    head, worker = launcher["head_start_ray_commands"][-1], launcher["worker_start_ray_commands"][-1]
    assert "--head" in head
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
    port = re.search(r"--port=(\d+)", head)
    assert port
    assert f"--address=$RAY_HEAD_IP:{port[1]}" in worker


@pytest.mark.slow
def test_rays_aws_provider_launches_every_node_type(
    launcher: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto = pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    region = launcher["provider"]["region"]
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "none")
    monkeypatch.setenv("HOME", str(tmp_path))  # the provider writes the ssh key that it makes to ~/.ssh
    (tmp_path / ".ssh").mkdir()
    with moto.mock_aws():
        from ray.autoscaler._private.aws.config import bootstrap_aws
        from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
        from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

        image = boto3.client("ec2", region_name=region).describe_images()["Images"][0]["ImageId"]
        boto3.client("iam", region_name=region).create_instance_profile(InstanceProfileName="v2a-head")
        boto3.client("iam", region_name=region).create_instance_profile(InstanceProfileName="v2a-worker")
        for each in launcher["available_node_types"].values():
            assert each["node_config"]["ImageId"] == "REPLACE_AMI"
            each["node_config"]["ImageId"] = image
        config = bootstrap_aws(prepare_config(launcher))
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name, each in config["available_node_types"].items():
            tags = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: name, "ray-node-name": name}
            (node,) = provider.create_node(each["node_config"], tags, 1).values()
            assert node.instance_type == each["node_config"]["InstanceType"]
            assert node.iam_instance_profile["Arn"].endswith("/v2a-head" if name == "head" else "/v2a-worker")


# All files


def test_one_ray_version() -> None:
    minor = ".".join(PINS["ray"].split(".")[:2])
    assert set(re.findall(r"Ray (\d+\.\d+)", (CLUSTER / "README.md").read_text())) == {minor}


SECRET = re.compile(
    r"AKIA[0-9A-Z]{12,}|BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?:secret|token|password|access_key\w*)\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,}",
    re.IGNORECASE,
)
HOST = re.compile(r"https?://([^\s/:\"'}]+)|\b(?!127\.0\.0\.1)(\d{1,3}(?:\.\d{1,3}){3})\b")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CLUSTER)))
def test_no_secrets_and_no_hosts(path: Path) -> None:
    text = path.read_text()
    assert not SECRET.search(text)
    assert {host for host, _ in HOST.findall(text)} <= {"127.0.0.1"}
    assert not [address for _, address in HOST.findall(text) if address]


@pytest.mark.parametrize(
    "text",
    ["AKIA" + "A" * 16, "aws_secret_access_key=" + "a" * 40, "token: '" + "0" * 32 + "'", "BEGIN RSA PRIVATE KEY"],
)
def test_the_search_for_secrets_finds_some(text: str) -> None:
    assert SECRET.search(text)


def test_every_file_is_described() -> None:
    text = (CLUSTER / "README.md").read_text()
    for path in FILES:
        place = path.relative_to(CLUSTER)
        # Of kubernetes/ every folder is described, and each file says in its first line what it is for.
        name = f"{place.parent}/" if place.parts[0] == "kubernetes" else str(place)
        assert place.name in {"README.md", "Dockerfile.dockerignore"} or f"`{name}`" in text, path
