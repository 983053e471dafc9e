"""The commands of the manifests that bring the weights: into the bucket once, and from there once to each machine."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from helpers_kubernetes import built, of_kind
from helpers_s3 import Faults, client, misbehaving

pytestmark = pytest.mark.slow


def test_weights_reach_the_bucket_and_each_machine_once(s3_server: str, tmp_path: Path) -> None:
    client(s3_server).create_bucket(Bucket="warm")
    objects = built("on-premise")
    (fetch,) = of_kind(objects, "Job")["v2a-models"]["spec"]["template"]["spec"]["containers"]
    (show,) = of_kind(objects, "RayCluster")["v2a"]["spec"]["headGroupSpec"]["template"]["spec"]["initContainers"]
    with misbehaving(s3_server, Faults()) as proxy:
        environment = {
            **os.environ,
            "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL_S3": proxy.url,
            "HOME": str(tmp_path),
            "V2A_BUNDLE": "miniature",
            "V2A_MODELS": "s3://warm/models/miniature",
        }
        subprocess.run(fetch["command"], env=environment, check=True, timeout=200)
        proxy.asked.clear()
        # Two at once, as two pods would on a machine whose cache they share, then one more.
        both = [subprocess.Popen(show["command"], env=environment, stdout=subprocess.PIPE) for _ in range(2)]
        told = [each.communicate(timeout=200)[0].decode() for each in both]
        assert [each.returncode for each in both] == [0, 0]
        told.append(subprocess.run(show["command"], env=environment, check=True, capture_output=True, text=True).stdout)
    weights = {
        path: count for (method, path), count in proxy.asked.items() if method == "GET" and "safetensors" in path
    }
    assert weights, proxy.asked
    assert set(weights.values()) == {1}
    assert told[0] == told[1] == told[2]
    assert f"{tmp_path}/.cache/v2a" in told[0]


def test_a_bundle_that_is_not_there_stops_the_pod(s3_server: str, tmp_path: Path) -> None:
    client(s3_server).create_bucket(Bucket="cold")
    (show,) = of_kind(built("eks"), "RayCluster")["v2a"]["spec"]["headGroupSpec"]["template"]["spec"]["initContainers"]
    environment = {
        **os.environ,
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL_S3": s3_server,
        "HOME": str(tmp_path),
        "V2A_MODELS": "s3://cold/models/paper",
    }
    done = subprocess.run(show["command"], env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 2
    assert "s3://cold/models/paper" in done.stderr
