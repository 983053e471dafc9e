"""What the machines of AWS may do: aws/bucket-policy.json, enforced by moto, suffices for a job and for no more."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from helpers_s3 import serve_s3_apart

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "cluster" / "aws" / "bucket-policy.json"
REGION = "us-east-1"

pytestmark = pytest.mark.slow


@pytest.fixture
def role() -> Iterator[dict[str, str]]:
    """The environment of a machine whose role has the policy, on an S3 that asks for permissions."""
    with serve_s3_apart() as address:

        def admin(service: str):
            return boto3.client(service, endpoint_url=address, region_name=REGION)

        for bucket in ("ours", "theirs"):
            admin("s3").create_bucket(Bucket=bucket)
            admin("s3").put_object(Bucket=bucket, Key="there", Body=b"x")
        iam = admin("iam")
        iam.create_user(UserName="machine")
        policy = POLICY.read_text().replace("REPLACE_BUCKET", "ours")
        iam.put_user_policy(UserName="machine", PolicyName="bucket", PolicyDocument=policy)
        key = iam.create_access_key(UserName="machine")["AccessKey"]
        plain = {"Content-Type": "text/plain"}
        # From now on permissions are asked for.
        urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset-auth", b"0", plain))
        yield {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_ENDPOINT_URL_S3": address,
            "AWS_REGION": REGION,
        }


def client(role: dict[str, str]):
    return boto3.client(
        "s3",
        endpoint_url=role["AWS_ENDPOINT_URL_S3"],
        region_name=REGION,
        aws_access_key_id=role["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=role["AWS_SECRET_ACCESS_KEY"],
    )


def test_other_buckets_are_denied_and_the_bucket_itself_stays(role: dict[str, str]) -> None:
    machine = client(role)
    assert machine.get_object(Bucket="ours", Key="there")["Body"].read() == b"x"
    for forbidden in (
        lambda: machine.get_object(Bucket="theirs", Key="there"),
        lambda: machine.list_objects_v2(Bucket="theirs"),
        lambda: machine.put_object(Bucket="theirs", Key="new", Body=b""),
        lambda: machine.delete_bucket(Bucket="ours"),
        lambda: machine.put_bucket_policy(Bucket="ours", Policy="{}"),
        lambda: machine.create_bucket(Bucket="mine"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden|403"):
            forbidden()


def test_a_job_needs_no_more(role: dict[str, str], tmp_path: Path) -> None:
    environment = {**os.environ, **role, "HOME": str(tmp_path), "V2A_CACHE": str(tmp_path / "cache")}

    def v2a(*arguments: str) -> str:
        command = [sys.executable, "-m", "workflows.cli", *arguments]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    v2a("models", "world", "--count", "2", "--output", str(tmp_path / "world"))
    v2a("models", "fetch", "miniature", "--output", "s3://ours/models/miniature")
    models = ("--models", "s3://ours/models/miniature")
    v2a("embed", str(tmp_path / "world" / "catalog.csv"), "--output", "s3://ours/embeddings", *models)
    v2a("verify", "s3://ours/embeddings")
