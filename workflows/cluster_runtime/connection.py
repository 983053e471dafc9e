"""Connecting to a Ray cluster, or starting Ray on this machine."""

from __future__ import annotations

import logging
import os
import time

import ray

from v2a_core.config import ConfigError
from workflows.cluster_runtime import address as cluster_address
from workflows.cluster_runtime import auth_token, ray_private, session_folder, signals
from workflows.cluster_runtime.restarts import TASK_RETRIES

_connected: list[float] = []  # seconds of each connection


def connect(address: str | None) -> None:
    """Connect to the cluster at `address` (or RAY_ADDRESS), else start Ray on this machine.

    Does nothing when this process is connected already.

    Raises:
        ConfigError: When there is no cluster at the address, or it lets nobody in without another token.
    """
    if ray.is_initialized():
        return
    logging.getLogger(ray_private.AUTHENTICATION_LOGGER).addFilter(is_news)
    ray_private.keep_quiet()
    cluster_address.check(address)
    started = time.monotonic()
    with signals.kept():
        _init(cluster_address.chosen(address))
    _connected.append(time.monotonic() - started)


def connect_seconds() -> float:
    """What connecting, or starting Ray, took in this process."""
    return _connected[-1] if _connected else 0.0


def _init(cluster: str | None) -> None:
    if cluster is None:
        _start_here()
        return
    try:
        ray.init(address=cluster, logging_level=logging.WARNING)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise ConfigError(f"the Ray cluster at {cluster} cannot be used: {error}") from None


def _start_here() -> None:
    # Ray ends workers that idled for a second, here between two soundtracks; a new one costs seconds of imports.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
    # Nobody announces that this machine is taken away; Ray Train would keep a process that asks.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    # A task that memory does not suffice for is tried again for ever otherwise.
    os.environ.setdefault("RAY_task_oom_retries", str(TASK_RETRIES))
    ray_private.listen_on_loopback()
    auth_token.keep_private()
    ray.init(
        address="local",
        include_dashboard=False,
        logging_level=logging.WARNING,
        log_to_driver=False,
        _temp_dir=session_folder.make(),
    )


def is_news(record: logging.LogRecord) -> bool:
    """Not so: that a model stage has a CPU beside its GPU, said for every stage, and that strangers are kept out."""
    told = ("Specifying both num_cpus and num_gpus", "Token authentication is enabled")
    return not any(text in record.getMessage() for text in told)
