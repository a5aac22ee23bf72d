"""Settings are plain data with two lazy doors: a network, and an algorithm that never looks back."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recsys_cli.algos
from recsys_cli.config import catalog
from recsys_cli.config.structured import load

FOLDER = Path(recsys_cli.algos.__file__).parent
SETTINGS = {path for path in FOLDER.rglob("*.py") if "@dataclass\nclass" in path.read_text()}
OTHERS = sorted(set(FOLDER.rglob("*.py")) - SETTINGS)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_algorithm_imports_settings_at_run_time(path: Path) -> None:
    names = {".".join(other.relative_to(FOLDER.parents[1]).with_suffix("").parts) for other in SETTINGS}
    allowed = {"recsys_cli.algos.base", "recsys_cli.algos.enumerated"}  # they hold more than settings
    imported = {node.module for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)}
    assert imported & (names - allowed) == set()


def test_settings_import_neither_ray_nor_torch() -> None:
    modules = [".".join(path.relative_to(FOLDER.parents[1]).with_suffix("").parts) for path in SETTINGS]
    code = f"import sys, {', '.join(sorted(modules))}; print([m for m in ('ray', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", catalog.option_names("algo"))
def test_an_algorithm_names_module_and_learner(name: str) -> None:
    from recsys_cli.algos.rllib_algorithm import SlateAlgorithm
    from recsys_cli.algos.training import Training

    algorithm = load("algo", name).algorithm()
    if not issubclass(algorithm, Training):  # which needs no Ray
        assert issubclass(algorithm, SlateAlgorithm)
        config = algorithm.get_default_config()
        # RLlib builds it anew on the way to the algorithm.
        assert type(config).from_state(config.get_state()).get_default_learner_class() is algorithm.learner_class
        assert isinstance(algorithm.module_class, type)
