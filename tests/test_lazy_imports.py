"""Starting costs little, because almost nothing is loaded. Modules are counted instead of milliseconds."""

from __future__ import annotations

import subprocess
import sys

# Loaded modules beside those of a bare interpreter.
COUNT = """
import sys
bare = set(sys.modules)
{statement}
print(*sorted(set(sys.modules) - bare))
"""


def modules_loaded_by(statement: str) -> set[str]:
    code = COUNT.format(statement=statement)
    output = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    return set(output.splitlines()[-1].split())


def test_import_edgewise_loads_the_package_alone() -> None:
    assert modules_loaded_by("import edgewise") <= {"edgewise", "__future__"}


def test_the_version_needs_neither_argparse_nor_jinja2_nor_metadata_of_the_installation() -> None:
    loaded = modules_loaded_by("from edgewise.cli import main; main(['--version'])")
    assert {"edgewise", "edgewise.cli", "edgewise._core"} <= loaded
    assert not loaded & {"argparse", "jinja2", "importlib.metadata", "numpy", "re", "subprocess", "typing", "socket"}


def test_the_drop_in_needs_no_numpy() -> None:
    loaded = modules_loaded_by("from edgewise import Llama")
    assert "edgewise.llama" in loaded
    assert not loaded & {"numpy", "xllamacpp", "socket", "urllib.request", "asyncio"}


def test_a_model_that_is_a_file_needs_no_store() -> None:
    loaded = modules_loaded_by(
        "from edgewise.cli.installed_models import model_path; model_path('demo'); from edgewise.cli import run"
    )
    assert "edgewise.cli.run" in loaded
    assert not loaded & {"edgewise.store.store", "edgewise.store.creation"}
