"""What `kubectl apply -k` would send of cluster/kubernetes: Kubernetes and KubeRay take it; it is as it should be."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from helpers_kubernetes import KUBERAY, KUBERNETES, OPTIONS, OVERLAYS, ROOT, built, complaints, of_kind, pods

from workflows.cli.main import build_parser

JOBS = ("embed", "evaluate", "generate", "train")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
SPOT = {"eks": "eks.amazonaws.com/capacityType", "gke": "cloud.google.com/gke-spot", "on-premise": "v2a/spot"}
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def cluster_of(overlay: str, *options: str) -> dict[str, Any]:
    return of_kind(built(overlay, *options), "RayCluster")["v2a"]["spec"]


def groups_of(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in cluster["workerGroupSpecs"]}


def every_pod(overlay: str, *options: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in built(overlay, *options):
        yield from pods(document)


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


# Taken by Kubernetes and KubeRay


@overlays
@pytest.mark.parametrize("kuberay", KUBERAY)
def test_every_object_is_taken(overlay: str, kuberay: str) -> None:
    kinds = {document["kind"] for document in built(overlay)}
    assert kinds >= {
        "RayCluster",
        "RayJob",
        "Job",
        "ServiceAccount",
        "PriorityClass",
        "PodDisruptionBudget",
        "ConfigMap",
    }
    for document in built(overlay):
        assert complaints(document, kuberay) == [], document["metadata"]["name"]


@overlays
def test_every_object_is_taken_with_all_options(overlay: str) -> None:
    for document in built(overlay, *OPTIONS):
        assert complaints(document, KUBERAY[-1]) == [], document["metadata"]["name"]


def job() -> dict[str, Any]:
    return copy.deepcopy(of_kind(built("eks"), "RayJob")["v2a-embed"])


@pytest.mark.parametrize("kuberay", KUBERAY)
@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("spec.backofLimit", 1, "backofLimit"),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.tolerance", [], "tolerance"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0, "string"),
        ("spec.rayClusterSpec.autoscalerOptions.version", "v3", "v3"),
        ("spec.rayClusterSpec.authOptions.mode", "password", "password"),
        ("spec.ttlSecondsAfterFinished", "600", "integer"),
        ("spec.managedBy", "somebody", "managedBy field value must be"),
        ("spec.deletionStrategy", {"onSuccess": {"policy": "DeleteCluster"}}, "BOTH onSuccess and onFailure"),
    ],
)
def test_what_kuberay_would_refuse_is_found(kuberay: str, path: str, value: Any, complaint: str) -> None:
    document = job()
    *folders, name = path.split(".")
    inside = document
    for folder in folders:
        inside = inside[folder]
    inside[name] = value
    assert any(complaint in each for each in complaints(document, kuberay))


def test_a_rule_of_newer_definitions_is_known() -> None:
    document = job()
    both = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"}
    document["spec"]["deletionStrategy"] = {"deletionRules": [{"policy": "DeleteCluster", "condition": both}]}
    assert any("cannot be used together" in each for each in complaints(document, "1.7.0"))
    assert any("jobDeploymentStatus" in each for each in complaints(document, "1.5.1"))


def test_what_kubernetes_would_refuse_is_found() -> None:
    document = copy.deepcopy(of_kind(built("eks"), "Job")["v2a-models"])
    document["spec"]["podFailurePolicies"] = {}
    assert any("podFailurePolicies" in each for each in complaints(document, KUBERAY[-1]))


@overlays
@pytest.mark.parametrize("options", [(), OPTIONS], ids=["plain", "options"])
def test_rules_of_kuberays_controller(overlay: str, options: tuple[str, ...]) -> None:
    """What its definitions cannot say: validation.go at 1.5.1 and 1.7.0."""
    for name, document in of_kind(built(overlay, *options), "RayJob").items():
        spec = document["spec"]
        assert len(name) <= 47
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert spec["shutdownAfterJobFinishes"] is True  # or it could not be suspended, nor have a time to live
        assert spec["activeDeadlineSeconds"] > 0
        cluster = spec["rayClusterSpec"]
        assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)  # tokens
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            assert (
                "restartPolicy" not in group["template"]["spec"]
            )  # the second autoscaler wants Never, KubeRay sets it
            assert not {"resources", "labels"} & set(group["rayStartParams"])
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())
            # KubeRay takes the first container for Ray's.
            assert group["template"]["spec"]["containers"][0]["name"] in {"ray-head", "ray-worker"}
        for group in cluster["workerGroupSpecs"]:
            assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


# The jobs


@overlays
def test_a_job_of_every_kind_on_the_cluster(overlay: str) -> None:
    objects = built(overlay)
    settings = of_kind(objects, "ConfigMap")["v2a-settings"]["data"]
    jobs = of_kind(objects, "RayJob")
    assert tuple(jobs) == tuple(f"v2a-{name}" for name in JOBS)
    for name, document in jobs.items():
        python, flag, module, *arguments = shlex.split(document["spec"]["entrypoint"])
        assert (python, flag, module) == ("python", "-m", "workflows.cli.ray_job")
        assert name == f"v2a-{arguments[0]}"
        # The submitter's shell fills them in.
        assert set(re.findall(r"\$(\w+)", document["spec"]["entrypoint"])) <= settings.keys()
        words = [re.sub(r"\$(\w+)", lambda found: settings[found[1]], word) for word in arguments]
        build_parser().parse_args(words)
        (submitter,) = document["spec"]["submitterPodTemplate"]["spec"]["containers"]
        assert {"configMapRef": {"name": "v2a-settings"}} in submitter["envFrom"]
        assert document["spec"]["rayClusterSpec"] == cluster_of(overlay)


@overlays
def test_every_object_can_be_chosen_by_its_label(overlay: str) -> None:
    chosen: dict[str, list[str]] = {}
    for document in built(overlay, *OPTIONS):
        chosen.setdefault(document["metadata"]["labels"]["v2a"], []).append(document["kind"])
    assert chosen.keys() == {*JOBS, "shared", "cluster", "models"}
    for name in JOBS:
        assert chosen[name] == ["RayJob"]
    assert chosen["cluster"] == ["RayCluster"]


@overlays
def test_jobs_are_tried_again_and_end(overlay: str) -> None:
    for document in of_kind(built(overlay), "RayJob").values():
        assert document["spec"]["backoffLimit"] == 3
        assert document["spec"]["ttlSecondsAfterFinished"] == 600
    models = of_kind(built(overlay), "Job")["v2a-models"]["spec"]
    (rule,) = models["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["containerName"] in {each["name"] for each in models["template"]["spec"]["containers"]}
    assert models["template"]["spec"]["restartPolicy"] == "Never"  # a failure policy needs it


# The pods


@overlays
def test_pods_pass_the_restricted_policy(overlay: str) -> None:
    """Kubernetes' Pod Security Standard "restricted", its rules that a manifest can break."""
    seen = 0
    for path, pod in every_pod(overlay, *OPTIONS):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), path
        assert spec["securityContext"]["runAsNonRoot"] is True, path
        assert spec["securityContext"]["runAsUser"] > 0, path
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, path
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= {"emptyDir", "configMap", "secret", "persistentVolumeClaim"}, path
        for container in containers(pod):
            check_container(container["securityContext"], f"{path} {container['name']}")
            assert all("hostPort" not in port for port in container.get("ports", ())), path
            seen += 1
    assert seen > 40
    options = cluster_of(overlay)["autoscalerOptions"]
    check_container(options["securityContext"], "autoscaler")


def check_container(context: dict[str, Any], name: str) -> None:
    assert context["allowPrivilegeEscalation"] is False, name
    assert context["capabilities"] == {"drop": ["ALL"]}, name
    assert context["readOnlyRootFilesystem"] is True, name
    assert not {"privileged", "procMount", "runAsUser"} & set(context), name


@overlays
def test_pods_have_resources_and_places_to_write(overlay: str) -> None:
    for path, pod in every_pod(overlay, *OPTIONS):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            place = f"{path} {container['name']}"
            resources = container["resources"]
            assert resources["requests"].keys() == resources["limits"].keys(), place
            assert {"cpu", "memory", "ephemeral-storage"} <= resources["limits"].keys(), place
            assert resources["requests"]["memory"] == resources["limits"]["memory"], place
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts.keys() <= volumes.keys(), place
            if container["name"] != "logs":
                assert {"/tmp", "/home/ray"} <= set(mounts.values()), f"{place}: its root is read-only"
        first = pod["spec"]["containers"][0]["resources"]["limits"]
        disks = [each["emptyDir"] for each in volumes.values() if "emptyDir" in each]
        on_disk = sum(gib(each["sizeLimit"]) for each in disks if each.get("medium") != "Memory")
        assert on_disk <= gib(first["ephemeral-storage"]), f"{path}: evicted before its volumes are full"


@overlays
def test_rays_pods_have_shared_memory_a_session_and_a_warm_cache(overlay: str) -> None:
    cluster = cluster_of(overlay)
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        spec = group["template"]["spec"]
        ray, (models,) = spec["containers"][0], spec["initContainers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in ray["volumeMounts"]}
        assert {"/tmp/ray", "/dev/shm"} <= mounts.keys()  # or KubeRay mounts its own, without a size
        volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"]}
        shm = volumes[mounts["/dev/shm"]]
        assert shm["medium"] == "Memory"
        # Ray takes 30 % of the container's memory for its object store; less shared memory than that goes to disk.
        assert gib(shm["sizeLimit"]) >= 0.3 * gib(ray["resources"]["limits"]["memory"])
        assert {"name": "RAY_TMPDIR", "value": "/tmp"} in ray["env"]
        # What the first container fetches is where the second one looks.
        assert mounts["/home/ray"] in {mount["name"] for mount in models["volumeMounts"]}
        program, *arguments = shlex.split(models["command"][2].removeprefix("exec "))
        assert program == "v2a"
        build_parser().parse_args(arguments)


def gib(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Gi|Mi)", quantity).groups()
    return int(number) / {"Gi": 1, "Mi": 1024}[unit]


# Heads stay, spot machines go


@overlays
def test_the_head_stays(overlay: str) -> None:
    head = cluster_of(overlay)["headGroupSpec"]
    template = head["template"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert "tolerations" not in template["spec"]
    objects = built(overlay)
    heads, workers = (of_kind(objects, "PriorityClass")[f"v2a-{name}"] for name in ("head", "worker"))
    assert template["spec"]["priorityClassName"] == "v2a-head"
    assert heads["value"] > workers["value"]
    budget = of_kind(objects, "PodDisruptionBudget")["v2a-head"]["spec"]
    wanted = dict(budget["selector"]["matchLabels"])
    assert wanted.pop("ray.io/node-type") == "head"  # KubeRay's own label
    assert wanted.items() <= template["metadata"]["labels"].items()
    hook = template["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["python", "-m", "workflows.cli.ray_job", "--stop-all"]
    environment = {each["name"]: each.get("value") for each in template["spec"]["containers"][0]["env"]}
    assert int(environment["RAY_JOB_STOP_WAIT_TIME_S"]) < template["spec"]["terminationGracePeriodSeconds"]


@overlays
def test_pools_lie_where_they_should(overlay: str) -> None:
    cluster = cluster_of(overlay)
    specs = {name: group["template"]["spec"] for name, group in groups_of(cluster).items()}
    head = cluster["headGroupSpec"]["template"]["spec"]
    spot = {name for name, spec in {"head": head, **specs}.items() if on_spot(overlay, spec)}
    # Nobody's own machines are cheaper for being taken away: there decoding runs on any.
    assert spot == ({"gpu-spot"} if overlay == "on-premise" else {"decode", "gpu-spot"})
    for name, spec in specs.items():
        tolerated = {each["key"] for each in spec.get("tolerations", ())}
        limits = spec["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == ("nvidia.com/gpu" in tolerated) == name.startswith("gpu")
        if name in spot:
            assert tolerated & {"v2a/spot", SPOT[overlay]}, name
        if name.startswith("gpu"):
            assert set(spec["nodeSelector"]) - {SPOT[overlay]}, f"{name} may land on any GPU"


def on_spot(overlay: str, spec: dict[str, Any]) -> bool:
    return spec.get("nodeSelector", {}).get(SPOT[overlay]) in {"SPOT", "true"}


@overlays
def test_the_cluster_grows_and_shrinks(overlay: str) -> None:
    cluster = cluster_of(overlay)
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] > 0
    assert cluster["rayVersion"] == PINS["ray"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] < group["maxReplicas"]


# Secrets and images


@overlays
def test_secrets_are_named_and_never_said(overlay: str) -> None:
    objects = built(overlay, *OPTIONS)
    assert not of_kind(objects, "Secret")
    cluster = cluster_of(overlay)
    assert cluster["authOptions"] == {"mode": "token"}
    for path, pod in every_pod(overlay, *OPTIONS):
        for container in containers(pod):
            for variable in container.get("env", ()):
                assert not re.search("KEY|SECRET|TOKEN|PASSWORD", variable["name"]), path
            if container["name"] in {"ray-head", "ray-worker", "models", "fetch"}:
                assert {"secretRef": {"name": "v2a-s3", "optional": True}} in container["envFrom"], path
    account = of_kind(objects, "ServiceAccount")["v2a"]["metadata"].get("annotations", {})
    bound = {"eks": "eks.amazonaws.com/role-arn", "gke": "iam.gke.io/gcp-service-account"}.get(overlay)
    assert set(account) == ({bound} if bound else set())


@overlays
def test_every_image_has_a_name_and_a_version(overlay: str) -> None:
    images = {container["image"] for _, pod in every_pod(overlay, *OPTIONS) for container in containers(pod)}
    ours = {image for image in images if image.endswith("/v2a:0.1.0") or "/v2a/v2a:" in image}
    assert len(images) == 2, "ours, and Fluent Bit's"
    assert len(ours) == 1
    assert not [image for image in images if re.search(r"REPLACE_(IMAGE|FLUENT)|:latest$|^[^:]+$", image)]


# Options


@overlays
def test_kueue_lets_jobs_wait(overlay: str) -> None:
    objects = built(overlay, *OPTIONS)
    for document in [*of_kind(objects, "RayJob").values(), *of_kind(objects, "RayCluster").values()]:
        assert document["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "v2a"
    for document in of_kind(objects, "RayJob").values():
        assert document["spec"]["suspend"] is True
        # Kueue's webhook refuses a cluster that grows by itself.
        assert document["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is False
        assert "autoscalerOptions" not in document["spec"]["rayClusterSpec"]


@overlays
def test_logs_are_printed_by_a_sidecar_of_every_pod_of_ray(overlay: str) -> None:
    cluster = cluster_of(overlay, *OPTIONS)
    config = of_kind(built(overlay, *OPTIONS), "ConfigMap")["v2a-fluent-bit"]["data"]["fluent-bit.yaml"]
    (source,) = yaml.safe_load(config)["pipeline"]["inputs"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        spec = group["template"]["spec"]
        sidecar = spec["containers"][1]
        assert sidecar["name"] == "logs"
        mounts = {mount["name"]: mount for mount in sidecar["volumeMounts"]}
        assert mounts["ray"]["readOnly"] is True
        assert all(path.startswith(mounts["ray"]["mountPath"]) for path in source["path"].split(","))


def test_nothing_lies_there_that_no_overlay_uses() -> None:
    used = {KUBERNETES / name / "kustomization.yaml" for name in ("base", "fill", *OVERLAYS, *OPTIONS)}
    for file in list(used):
        said = yaml.safe_load(file.read_text())
        names = [*said.get("resources", ()), *(patch.get("path", "") for patch in said.get("patches", ()))]
        names += [name for each in said.get("configMapGenerator", ()) for name in each.get("files", ())]
        used |= {file.parent / name for name in names if name.endswith(".yaml")}
    assert {path for path in KUBERNETES.rglob("*") if path.is_file()} == used
