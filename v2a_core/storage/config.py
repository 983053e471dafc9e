"""Typed configuration of storage: how buckets are reached.

It holds no secrets: credentials come from the environment, the shared credentials file or the machine's role, on each
machine for itself.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import pydantic

from v2a_core.config import Settings, setting


class StorageSettings(Settings):
    """How an object store is reached. Without a setting, AWS's own environment variables and files decide."""

    endpoint: str | None = setting(None, "address of an S3 server other than AWS (else AWS_ENDPOINT_URL_S3)")
    region: str | None = setting(None, "region of the buckets (else AWS_REGION, AWS_DEFAULT_REGION)")
    profile: str | None = setting(None, "profile of the shared credentials file (else AWS_PROFILE)")
    anonymous: bool = setting(False, "do not sign requests: public buckets (also AWS_NO_SIGN_REQUEST=true)")
    request_payer: bool = setting(False, "pay for the requests: requester-pays buckets (also AWS_REQUEST_PAYER)")
    attempts: int = setting(8, "times a request is tried that is slowed down, cut or timed out", ge=1, le=20)
    timeout_s: float = setting(60.0, "time without an answer before a request is tried again", unit="s", gt=0)
    fetch_timeout_s: float | None = setting(
        None, "time for 32 MB with all attempts, then it is given up (default: ten times timeout_s)", unit="s", gt=0
    )

    @pydantic.field_validator("endpoint")
    @classmethod
    def _no_credentials_in_the_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        parts = urlsplit(endpoint)
        if parts.username or parts.password:
            # Not shown: this is printed.
            raise ValueError("must hold no user name or password: give credentials through the environment")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL such as https://s3.example.org")
        return endpoint

    @property
    def longest_s(self) -> float:
        """The longest time that a request, or a transfer of up to 32 MB, may take with all its attempts."""
        return 10 * self.timeout_s if self.fetch_timeout_s is None else self.fetch_timeout_s

    def with_environment(self) -> StorageSettings:
        """The same, completed by the environment variables that botocore does not read itself."""
        return self.model_copy(
            update={
                "region": self.region or os.environ.get("AWS_REGION") or None,
                "anonymous": self.anonymous or _is_true(os.environ.get("AWS_NO_SIGN_REQUEST", "")),
                "request_payer": self.request_payer or os.environ.get("AWS_REQUEST_PAYER", "").lower() == "requester",
            }
        )


def output_storage() -> Any:
    """The setting `output_storage` of a job that may write elsewhere than it reads."""
    return setting(
        None, "how the bucket of the output is reached, when otherwise; then nothing of `storage` applies to it"
    )


class StorageJob(Settings):
    """The settings of commands that have no others."""

    storage: StorageSettings = setting(StorageSettings, "how files are reached")


class CopyJob(StorageJob):
    """The settings of commands that copy from one place to another, and have no others."""

    output_storage: StorageSettings | None = output_storage()


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on")
