"""A Ray of one machine listens on its loopback alone."""

from __future__ import annotations

import os

from ray._private import ray_constants


def listen_on_loopback() -> None:
    """Let the Ray that starts next use 127.0.0.1 as the address of this machine, `/metrics` and its agents too.

    So does Ray on macOS and Windows; there is no other way to ask for it, `_node_ip_address` included.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for the processes that Ray starts
    ray_constants.ENABLE_RAY_CLUSTER = False  # read when Ray was imported
