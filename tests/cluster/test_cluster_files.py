"""The deployment files: valid for the tools that read them, one Ray version, no secrets."""

from __future__ import annotations

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from workflows.cli.main import build_parser

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


def _yaml(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


# The launcher


@pytest.fixture
def launcher() -> dict[str, Any]:
    return _yaml("aws.yaml")


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
    assert {name for name, each in types.items() if each["resources"].get("GPU")} == {"gpu"}
    for name, each in types.items():
        assert 1 <= each["min_workers"] <= each["max_workers"], name
        assert each["resources"]["CPU"] >= 1
    assert sum(each["max_workers"] for each in types.values()) <= launcher["max_workers"]


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
        boto3.client("iam", region_name=region).create_instance_profile(InstanceProfileName="v2a-ray")
        for each in launcher["available_node_types"].values():
            assert each["node_config"]["ImageId"] == "REPLACE_AMI"
            each["node_config"]["ImageId"] = image
        config = bootstrap_aws(prepare_config(launcher))
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name, each in config["available_node_types"].items():
            tags = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: name, "ray-node-name": name}
            (node,) = provider.create_node(each["node_config"], tags, 1).values()
            assert node.instance_type == each["node_config"]["InstanceType"]
            assert node.iam_instance_profile["Arn"].endswith("/v2a-ray")


# KubeRay


@pytest.fixture
def rayjob() -> dict[str, Any]:
    return _yaml("rayjob.yaml")


def _groups(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_rayjob_is_one_job_of_the_cli(rayjob: dict[str, Any]) -> None:
    assert (rayjob["apiVersion"], rayjob["kind"]) == ("ray.io/v1", "RayJob")
    program, *arguments = shlex.split(rayjob["spec"]["entrypoint"])
    assert program == "v2a"
    build_parser().parse_args(arguments)
    assert rayjob["metadata"]["name"] == f"v2a-{arguments[0]}"
    assert rayjob["spec"]["shutdownAfterJobFinishes"] is True


def test_rayjob_has_a_head_without_tasks_and_two_kinds_of_workers(rayjob: dict[str, Any]) -> None:
    cluster = rayjob["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert [group["groupName"] for group in cluster["workerGroupSpecs"]] == ["decode", "gpu"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"] > 0
    gpus = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for group in _groups(rayjob)
    ]
    assert gpus == [None, None, "1"]


def test_rayjob_pods_have_resources_shared_memory_and_secrets(rayjob: dict[str, Any]) -> None:
    for group in _groups(rayjob):
        for value in group["rayStartParams"].values():
            assert isinstance(value, str), "KubeRay refuses rayStartParams that are not strings"
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == "REPLACE_IMAGE"
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["envFrom"] == [{"secretRef": {"name": "v2a-s3", "optional": True}}]
        assert "env" not in container
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        (shm,) = pod["volumes"]
        assert shm["emptyDir"]["medium"] == "Memory"
        # Ray takes 30 % of the container's memory for its object store; less shared memory than that goes to disk.
        assert _gib(shm["emptyDir"]["sizeLimit"]) >= 0.3 * _gib(container["resources"]["limits"]["memory"])
        assert pod["securityContext"]["runAsNonRoot"] is True


def _gib(quantity: str) -> float:
    assert quantity.endswith("Gi"), quantity
    return float(quantity[:-2])


# The image


INSTRUCTIONS = {"FROM", "RUN", "COPY", "ARG", "ENV", "WORKDIR", "USER", "CMD"}


def _instructions() -> list[tuple[str, str]]:
    lines = [line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def test_image_instructions_are_known_and_sources_exist() -> None:
    instructions = _instructions()
    assert {name for name, _ in instructions} == INSTRUCTIONS
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [source for name, rest in instructions if name == "COPY" for source in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
        folders = [source, *(str(parent) for parent in Path(source).parents)]
        assert any(f"!{folder}" in ignored for folder in folders), f"{source} does not reach the build"
    assert {line[1:] for line in ignored if line.startswith("!")} <= set(copied)


def test_image_installs_the_pinned_versions_and_does_not_run_as_root() -> None:
    instructions = _instructions()
    assert instructions[0] == ("FROM", "python:3.11-slim")
    runs = " ".join(rest for name, rest in instructions if name == "RUN")
    assert "--constraint constraints.txt" in runs
    assert "boto3" in PINS
    assert [rest for name, rest in instructions if name == "USER"] == ["ray"]
    assert "--uid 1000" in runs
    environment = " ".join(rest for name, rest in instructions if name == "ENV")
    assert "HOME=/home/ray" in environment, "the launcher reads it to place what it mounts"


def test_sessions_lie_where_only_their_user_enters() -> None:
    runs = " ".join(rest for name, rest in _instructions() if name == "RUN")
    environment = dict(pair.split("=") for name, rest in _instructions() if name == "ENV" for pair in rest.split())
    assert re.search(rf"install .*--mode 700 .*{environment['RAY_TMPDIR']}\b", runs)
    before, start, _ = (CLUSTER / "README.md").read_text().partition("ray start --head --temp-dir ~/.v2a-ray/ray ")
    assert start
    assert "mkdir -m 700 -p ~/.v2a-ray " in before


# All files


def test_one_ray_version(rayjob: dict[str, Any]) -> None:
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == PINS["ray"]
    minor = ".".join(PINS["ray"].split(".")[:2])
    assert set(re.findall(r"Ray (\d+\.\d+)", (CLUSTER / "README.md").read_text())) == {minor}


SECRET = re.compile(
    r"AKIA[0-9A-Z]{12,}|BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?:secret|token|password|access_key\w*)\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,}",
    re.IGNORECASE,
)
HOST = re.compile(r"https?://([^\s/:\"'}]+)|\b(?!127\.0\.0\.1)(\d{1,3}(?:\.\d{1,3}){3})\b")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
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
        assert path.name in {"README.md", "Dockerfile.dockerignore"} or f"`{path.relative_to(CLUSTER)}`" in text, path
