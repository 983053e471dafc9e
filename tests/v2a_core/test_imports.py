"""What may load what: decode workers and the command line start fast because they load no model library."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODELS = "torch open_clip laion_clap diffusers transformers"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("v2a_core.decoding", f"{MODELS} ray"),
        ("v2a_core.finishing", f"{MODELS} ray"),
        ("v2a_core.ledger", f"{MODELS} ray av decord"),
        ("v2a_core.models", f"{MODELS} ray av decord"),
        ("workflows.cli", f"{MODELS} ray av decord"),
    ],
)
def test_a_module_loads_without(module, forbidden):
    code = f"import sys, {module}; print(sorted(set('{forbidden}'.split()) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
