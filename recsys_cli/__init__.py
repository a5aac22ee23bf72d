"""recsys-cli: reinforcement learning for recommender systems in one command line.

Importing it registers the problems with gymnasium, now or as soon as gymnasium is imported: gymnasium 1 reads no entry
points of packages, and `recsys --help` has no time to import it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__version__ = "0.1.0"


class _AfterGymnasium:
    """Finds gymnasium as Python does, and registers the problems once it is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                import recsys_cli.envs  # noqa: F401 - registers the problems

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    import recsys_cli.envs  # noqa: F401 - registers the problems
else:
    sys.meta_path.insert(0, _AfterGymnasium())
