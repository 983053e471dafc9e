"""What processes that others have started take."""

from __future__ import annotations

import os
import subprocess
import sys

from v2a_core.compute.family import descendants

CODE = """
import subprocess, sys, time
began = time.process_time()
held = bytearray(b"x") * 60_000_000
while time.process_time() - began < 0.3: pass
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_grandchild_is_found_with_its_time_and_memory() -> None:
    started = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CODE!r}, 'odd ) name'])"
    command = [sys.executable, "-c", started]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        found = {
            pid: relative for pid, relative in descendants(os.getpid()).items() if "odd ) name" in relative.command
        }
        (relative,) = [item for pid, item in found.items() if pid != child.pid]
        assert relative.parent == child.pid
        assert relative.cpu_s >= 0.25
        assert relative.resident_bytes > 60_000_000
        assert child.pid not in descendants(relative.parent)
        child.stdin.close()
