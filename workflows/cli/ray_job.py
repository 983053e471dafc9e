"""A command of `v2a` as the entrypoint of a Ray job that is tried again when it fails, as KubeRay's RayJob is.

    python -m workflows.cli.ray_job embed s3://bucket/videos --output s3://bucket/embeddings
    python -m workflows.cli.ray_job --stop-all

KubeRay sees that a Ray job has failed, and not with which exit code: it tries a misspelt setting again, on new
machines. A Ray job that was *stopped* it does not try again. So a command that would end in the same way the next time
stops its own Ray job, whose status is then STOPPED; the log says why. Exit code 2 can mean something else, though: a
head that was lost a moment ago took a run with it which still seems to own the output. That is waited for.

With `--stop-all` the running jobs of this cluster are stopped, and waited for: what a head does before it goes.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import time
from collections.abc import Sequence

from v2a_core.config import ConfigError
from v2a_core.outputs import lease
from workflows.cli.main import main as run
from workflows.command.exit_codes import BAD_CONFIGURATION, DONE, FAILED, TOO_MANY_REJECTS, TRAINING_STOPPED

FINAL = (BAD_CONFIGURATION, TOO_MANY_REJECTS, TRAINING_STOPPED)
STOP_S = 150.0  # Ray itself waits for two minutes where RAY_JOB_STOP_WAIT_TIME_S is as in cluster/, and then kills


def main(argv: Sequence[str]) -> int:
    """Run a command, or stop all jobs; returns the exit code, where nothing ends this process before."""
    if list(argv) == ["--stop-all"]:
        return stop_all()
    code = _run(argv)
    if code == BAD_CONFIGURATION and _belongs_to_the_dead(argv):
        code = _run(argv)
    if code in FINAL:
        _stop_myself(code)
    return code


def stop_all() -> int:
    """Stop the Ray jobs that run, and wait until they have ended."""
    from ray.job_submission import JobSubmissionClient, JobType

    try:
        client = JobSubmissionClient()
    except ConnectionError as error:
        print(f"v2a: nothing to stop, no Ray answers here: {error}", file=sys.stderr)
        return DONE
    running = [
        job.submission_id
        for job in client.list_jobs()
        if job.type == JobType.SUBMISSION and not job.status.is_terminal() and job.submission_id
    ]
    for job_id in running:
        client.stop_job(job_id)
    deadline = time.monotonic() + STOP_S
    while running := [job_id for job_id in running if not client.get_job_status(job_id).is_terminal()]:
        if time.monotonic() > deadline:
            print(f"v2a: not ended within {STOP_S:g} s: Ray job {', '.join(running)}", file=sys.stderr)
            return FAILED
        time.sleep(0.5)
    return DONE


def _run(argv: Sequence[str]) -> int:
    try:
        return run(argv)
    except SystemExit as error:  # the parser's, of arguments that it does not know
        return error.code if isinstance(error.code, int) else FAILED


def _belongs_to_the_dead(argv: Sequence[str]) -> bool:
    """Whether the output is that of a run which says nothing more; takes as long as it takes to be sure."""
    output = next((after for word, after in itertools.pairwise(argv) if word == "--output"), "")
    with contextlib.suppress(OSError, ConfigError):  # told by the command itself
        held = lease.owner(output) if output else None
        if held is None or held.released:
            return False
        end = time.monotonic() + lease.DEAD_S
        while time.monotonic() < end:
            time.sleep(min(1.0, lease.DEAD_S / 10))
            if lease.owner(output) != held:
                return False
        print("v2a: the run that owned the output is gone, with its head; once more", file=sys.stderr, flush=True)
        return True
    return False


def _stop_myself(code: int) -> None:
    """Stop the Ray job of this process; returns only where there is none, or Ray does not do it."""
    from workflows.cluster_runtime import ray_private

    job_id = ray_private.submission_id()
    if job_id is None:
        return
    print(
        f"v2a: exit code {code}: the same command would end so again, so this Ray job is stopped and not tried again",
        file=sys.stderr,
        flush=True,
    )
    from ray.job_submission import JobSubmissionClient

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's way to stop a job; nothing is left to write
    JobSubmissionClient().stop_job(job_id)
    # Ray must end this process: one that ends by itself has failed.
    time.sleep(STOP_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
