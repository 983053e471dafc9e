"""What may load what: decode workers and the command line start fast because they load no model library."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODELS = "torch open_clip laion_clap diffusers transformers"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("v2a_core.stages.decode", f"{MODELS} ray"),
        ("v2a_core.stages.finish", f"{MODELS} ray"),
        ("v2a_core.outputs.ledger", f"{MODELS} ray av decord"),
        ("v2a_core.models", f"{MODELS} ray av decord"),
        ("v2a_core.encoders.clip, v2a_core.encoders.blip, v2a_core.encoders.clap", f"{MODELS} ray"),
        ("workflows.cli.main", f"{MODELS} ray av decord"),
    ],
)
def test_a_module_loads_without(module, forbidden):
    code = f"import sys, {module}; print(sorted(set('{forbidden}'.split()) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_clip_loads_only_what_its_model_needs():
    code = """
import sys
from v2a_core.models import load_bundle
from v2a_core.encoders import EncoderSettings, build_vision
build_vision(load_bundle("miniature").resolve(), EncoderSettings())
print(sorted({"timm", "transformers", "sympy", "torch._dynamo"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[0] == "[]"


@pytest.mark.slow
def test_weights_are_counted_without_torchs_compiler():
    code = """
import sys
from v2a_core.mappers.assemble import count_parameters
from v2a_core.mappers.config import MapperSettings
from v2a_core.mappers.registries import NETWORKS
made = [MapperSettings.model_validate({"network": {"kind": kind}}) for kind in NETWORKS.names()]
print(min(map(count_parameters, made)) > 0, "torch._dynamo" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("kind", ["diffusion", pytest.param("flow", marks=pytest.mark.slow)])
def test_a_mapper_maps_without_torchs_compiler_which_is_there_later(kind):
    code = f"""
import sys, torch
from v2a_core.mappers import build
from v2a_core.mappers.config import MapperSettings
settings = MapperSettings.model_validate({{"method": {{"kind": {kind!r}}}}})
mapped = build(settings).eval().sample(torch.eye(512)[:2], [1, 2])
print(tuple(mapped.shape), sorted({{"torch._dynamo", "scipy.stats"}} & set(sys.modules)))
from v2a_core.compute.torchvision_import import prepare_torchvision
prepare_torchvision()
import scipy, diffusers.models.attention
print(float(scipy.stats.beta.ppf(0.5, 1, 1)), "torch._dynamo" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.splitlines() == ["(2, 512) []", "0.5 True"]


@pytest.mark.slow
def test_a_clip_that_needs_more_gets_it_also_after_one_that_did_not():
    code = """
import sys
from v2a_core.models import load_bundle
from v2a_core.encoders import EncoderSettings, build_vision
from v2a_core.encoders.clip import _builtin_config, _image_tower
build_vision(load_bundle("miniature").resolve(), EncoderSettings())
tower = _image_tower(_builtin_config("ViT-B-16-SigLIP"))
print(type(tower).__name__, "timm" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[0] == "TimmModel True"


@pytest.mark.slow
def test_clap_loads_neither_numba_nor_librosas_filters():
    code = """
import sys
from v2a_core.models import load_bundle
from v2a_core.encoders import EncoderSettings, build_audio
build_audio(load_bundle("miniature").resolve(), EncoderSettings())
print(sorted({"numba", "librosa.filters", "scipy.signal", "laion_clap"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[0] == "[]"


@pytest.mark.slow
def test_an_open_clip_that_needs_other_packages_is_loaded_whole_and_it_is_said(tmp_path):
    """And what was loaded of it without them is gone."""
    for package, code in (("open_clip", ""), ("transformers", "bert = 3")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(code)
    (tmp_path / "open_clip" / "model.py").write_text("import transformers\nclass CLIP: bert = transformers.bert\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from v2a_core.encoders.open_clip_import import open_clip_models
print(open_clip_models({{}}).CLIP.bert, [name for name in sys.modules if name.startswith("_v2a_open_clip")])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "3 []"
    assert result.stderr.count("open_clip is loaded whole") == 1


@pytest.mark.slow
def test_who_imports_open_clip_in_the_same_process_gets_all_of_it():
    code = """
from v2a_core.encoders.open_clip_import import open_clip_models
models = open_clip_models({})
import open_clip
print(open_clip.hf_model.transformers is None, open_clip.timm_model.timm is None, models.CLIP is open_clip.CLIP)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout.strip() == "False False False"


@pytest.mark.slow
def test_who_asks_more_of_a_module_gets_it_and_it_is_said():
    code = """
import sys
from v2a_core.compute.on_demand import on_demand
with on_demand("torch._dynamo.utils", frozenset({"is_compile_supported"})):
    from torch._dynamo.utils import is_compile_supported, counters
import torch._dynamo.utils
print(counters is torch._dynamo.utils.counters, is_compile_supported("cpu"))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout.strip().split()[0] == "True"
    assert result.stderr.count("torch._dynamo.utils.counters is asked for at import") == 1


@pytest.mark.slow
def test_what_torchvision_takes_from_the_compiler_is_there_when_it_is_called():
    code = """
import torch
from v2a_core.compute.torchvision_import import prepare_torchvision
prepare_torchvision()
from torchvision.ops import roi_align
boxes = [torch.tensor([[0.0, 0.0, 2.0, 2.0]])]
print(roi_align(torch.arange(16.0).view(1, 1, 4, 4), boxes, 1, aligned=True).shape)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "torch.Size([1, 1, 1, 1])"
