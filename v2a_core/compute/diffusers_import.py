"""Schedulers of diffusers without what their modules load for others."""

from __future__ import annotations

from typing import Any

from v2a_core.compute.on_demand import on_demand


def scheduler_class(name: str) -> Any:
    """A class of diffusers that steps through noise, such as `DDIMScheduler`.

    Its module loads torch's compiler, of which only models are marked, and scipy's statistics, of which only beta
    schedules ask: some two seconds of each process that maps what it saw (`benchmarks/start_up.py`). Whoever calls
    them, later and in the same process, gets them.
    """
    with on_demand("torch._dynamo", frozenset({"allow_in_graph"})), on_demand("scipy.stats"):
        import diffusers

        return getattr(diffusers, name)
