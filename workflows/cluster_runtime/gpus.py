"""Which GPU of its machine an actor computes on.

Ray packs fractions of GPUs: actors that ask for a part of one would all be on the first GPU, and fill it, while another
is idle. So the actors of the stage that computes most ask for most of a GPU: each is alone of its kind there. Those of
smaller stages ask for next to nothing, which brings them to a machine with GPUs, and take turns on all GPUs there.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

_held: list[int] = []  # open files: what this process has taken is free again when it ends, however it ends


def take_turns(stage: str) -> str | None:
    """Make this process compute on the GPU of its machine that has the fewest actors of its stage.

    To be called before anything computes on a GPU.

    Args:
        stage: Name of the stage.

    Returns:
        The GPU, as CUDA_VISIBLE_DEVICES has it; None where Ray gave this process none, or does not say which exist.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = _gpus_of_machine()
    if not given or not there:
        return None
    chosen = _take(_folder(), stage, there)
    os.environ["CUDA_VISIBLE_DEVICES"] = chosen
    return chosen


def _gpus_of_machine() -> list[str]:
    """The GPUs that Ray has on this machine, by the names that it gives on."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    count = next((int(found["Resources"].get("GPU", 0)) for found in ray.nodes() if found["NodeID"] == node), 0)
    try:
        # What started this process shares out the GPUs that it can see itself.
        environment = Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    except OSError:
        environment = []
    seen = next((item.split(b"=", 1)[1] for item in environment if item.startswith(b"CUDA_VISIBLE_DEVICES=")), b"")
    names = [name.strip() for name in seen.decode(errors="replace").split(",") if name.strip()]
    return names[:count] if names else [str(index) for index in range(count)]


def _folder() -> Path:
    import ray

    context = ray.get_runtime_context()
    folder = Path(tempfile.gettempdir()) / f"v2a-gpus-{os.getuid()}-{context.get_node_id()[:16]}-{context.get_job_id()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _take(folder: Path, stage: str, gpus: list[str]) -> str:
    """The first GPU without an actor of the stage, else the first with one, and so on."""
    for round_ in range(1 << 16):
        for gpu in gpus:
            file = os.open(folder / f"{stage}-{gpu}-{round_}", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            _held.append(file)
            return gpu
    raise RuntimeError(f"more than {1 << 16} actors of {stage} on a GPU")
