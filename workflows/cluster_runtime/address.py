"""Whether a Ray cluster answers at an address. Ray itself tries for minutes before it says that none does."""

from __future__ import annotations

import os
import socket

from v2a_core.config import ConfigError

CONNECT_S, ANSWER_S = 5.0, 8.0


def chosen(address: str | None) -> str | None:
    """The cluster to connect to; None: Ray starts on this machine."""
    found = address or os.environ.get("RAY_ADDRESS")
    return None if found == "local" else found or None


def check(address: str | None) -> None:
    """Refuse a cluster that does not answer.

    Args:
        address: `host:port`, `ray://host:port` or `auto`; None: RAY_ADDRESS, if it is set.

    Raises:
        ConfigError: Naming the address, what is wrong with it and what to do.
    """
    name = chosen(address)
    if name is None:
        return
    try:
        place = _host_and_port(name)
        if place is None:
            return
        host, port = place
        with socket.create_connection((host, port), timeout=CONNECT_S):
            pass
        _shake_hands(host, port)
    except (OSError, ValueError) as error:
        given = "--address" if address else "RAY_ADDRESS"
        raise ConfigError(
            f"{given} {name}: no Ray cluster answers there ({error or type(error).__name__}). Start it, give the "
            f"address that `ray start` printed, or leave {given} out to use Ray on this machine"
        ) from None


def _host_and_port(name: str) -> tuple[str, int] | None:
    """Where a cluster is asked; None: only Ray itself can tell."""
    if name == "auto":
        from workflows.cluster_runtime import ray_private  # imports Ray: not for --help

        try:
            here = ray_private.cluster_here()
        except ConnectionError:
            raise ConnectionError("none runs on this machine") from None
        if here is None:
            return None
        name = here
    host, _, port = name.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ValueError("an address is host:port, ray://host:port or auto")
    return host.strip("[]"), int(port)


def _shake_hands(host: str, port: int) -> None:
    """A port can be open without a cluster behind it, or with one that hangs."""
    if os.environ.get("RAY_USE_TLS") == "1":
        return  # Ray's own certificates are needed for that
    import grpc

    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # Ray's servers are spoken to directly, whatever proxy is set for the web.
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_S)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"the port is open, but nothing that is Ray answered within {ANSWER_S:g} s") from None
