"""What pyproject.toml cannot say of a build: configurations inside the library's package, and the commit it is from."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
COMMIT = Path("v2a_core") / "commit.txt"


def write_commit(folder: Path) -> None:
    """Write beside the code in `folder` which commit it is from: there is no history where it will be used."""
    commit = runpy.run_path(str(ROOT / "v2a_core" / "version.py"))["commit"]
    (folder / COMMIT).write_text(f"{commit()}\n", encoding="utf-8")


class BuildPackages(build_py):
    """`configs/` becomes `v2a_core/configs`: a top-level `configs` would be in the way of other projects'."""

    def run(self) -> None:
        """Build, then add what is made here. A checkout that is installed as it is has both already."""
        super().run()
        if self.editable_mode:
            return
        built = Path(self.build_lib)
        if (built / "v2a_core").is_dir():
            shutil.copytree(ROOT / "configs", built / "v2a_core" / "configs", dirs_exist_ok=True)
            write_commit(built)


class BuildSource(sdist):
    """The archive of sources says which commit it is from."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy the files, then write the commit."""
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir))


setup(cmdclass={"build_py": BuildPackages, "sdist": BuildSource})
