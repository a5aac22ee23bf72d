"""Import recsim's environments without TensorFlow.

recsim imports `gin.tf` for a decorator that plain `gin` has too, and `recsim.simulator.runner_lib`, which needs
TensorFlow and dopamine but which no environment uses. Both are replaced by stand-ins while recsim is imported, and
removed afterwards, so that other code gets the real modules.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

RUNNER = "recsim.simulator.runner_lib"


@contextlib.contextmanager
def _stand_ins(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Put `modules` in place of modules that are not loaded, until the block ends."""
    absent = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def recsim_module(name: str) -> Any:
    """Import `recsim.<name>`, e.g. `environments.interest_evolution`.

    Returns:
        The module, untyped: recsim has no annotations.
    """
    import gin

    # gym prints a notice about its own age to stderr, not through warnings.
    with _stand_ins({"gin.tf": gin, RUNNER: ModuleType(RUNNER)}), contextlib.redirect_stderr(io.StringIO()):
        return importlib.import_module(f"recsim.{name}")


def choice_model_class(kind: str) -> Any:
    """Return recsim's choice model class for our `choice_model`."""
    models = recsim_module("choice_model")
    if kind == "proportional_cascade":
        return _proportional_cascade(models)
    return {
        "multinomial_logit": models.MultinomialLogitChoiceModel,
        "multinomial_proportional": models.MultinomialProportionalChoiceModel,
        "exponential_cascade": models.ExponentialCascadeChoiceModel,
    }[kind]


def _proportional_cascade(models: Any) -> Any:
    """Return recsim's `ProportionalCascadeChoiceModel` with its validity test fixed.

    `assert not scores[scores < 0.0]` takes the truth value of an array that is empty if all is well, which NumPy 2
    refuses; it should test the array's size, as the multinomial model does.
    """

    class ProportionalCascade(models.ProportionalCascadeChoiceModel):
        def score_documents(self, user_state: Any, doc_obs: Any) -> None:
            scores = self._score_documents_helper(user_state, doc_obs) - self._min_normalizer
            assert scores[scores < 0.0].size == 0, "Normalized scores have non-positive elements."
            self._positional_normalization(scores)

    return ProportionalCascade
