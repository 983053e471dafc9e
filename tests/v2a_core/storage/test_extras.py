"""Storages whose Python package is an extra: known where it is installed, named where it is not."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import fsspec
import pytest

from v2a_core import storage
from v2a_core.config import ConfigError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("uri", "module", "extra"),
    [("gs://bucket/a.mp4", "gcsfs", "gs"), ("abfs://box@account/a.mp4", "adlfs", "abfs")],
)
def test_a_scheme_whose_package_is_an_extra_names_it(
    uri: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = uri.partition("://")[0]
    loaded = importlib.import_module("fsspec.registry")._registry  # `fsspec.registry` is a table of that name
    monkeypatch.delitem(loaded, scheme, raising=False)
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    with pytest.raises(ConfigError, match=re.escape(f"`pip install 'v2a[{extra}]'` installs it")) as caught:
        storage.filesystem(uri)
    assert str(caught.value).startswith(uri)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"][extra] == [module]


@pytest.mark.parametrize(("scheme", "module"), [("gs", "gcsfs"), ("gcs", "gcsfs"), ("abfs", "adlfs"), ("az", "adlfs")])
def test_a_scheme_whose_package_is_there_is_known(scheme: str, module: str) -> None:
    pytest.importorskip(module)
    assert fsspec.get_filesystem_class(scheme).__module__.startswith(module)
