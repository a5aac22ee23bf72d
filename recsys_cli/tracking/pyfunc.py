"""A checkpoint bundle as an MLflow model of the pyfunc flavour: usable by MLflow alone, without the command line.

    mlflow.set_tracking_uri("sqlite:///runs/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/slateq@champion")
    slates = model.predict({"user": user, "doc": doc})  # [N, U] and [N, C, F], both float32 -> [N, k]

The model's folder is the bundle plus MLflow's files: `MLmodel` names this module, whose `_load_pyfunc` rebuilds the
policy from `recsys.yaml` and `policy.safetensors`. Nothing is pickled. Policies with session memory (`algo.memory`,
`algo.statistics=per_user`) also take the response to the last slate and `memory`, and return a dict of `slate` and
`memory`; see `policies.stateless`. The number of candidates is free if the policy allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.stateless import ArraySpec, StatelessPolicy
from recsys_cli.tracking.loading import load_checkpoint

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

EXAMPLE_USERS = 2
POLICIES_KEPT = 16  # one per number of candidates


class PolicyModel:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, folder: Path) -> None:
        """Load a bundle's policy.

        Raises:
            ConfigError: no sound bundle.
        """
        self.checkpoint = load_checkpoint(folder)
        spec = self.checkpoint.spec

        @lru_cache(POLICIES_KEPT)
        def policy_for(candidates: int) -> SlatePolicy:
            return self.checkpoint.policy_for(spec.with_candidates(candidates))

        self.function = StatelessPolicy(spec, policy_for)

    def predict(self, model_input: Mapping[str, np.ndarray], params: Mapping[str, Any] | None = None) -> Any:
        """Return greedy slates `[N, k]` of candidate numbers; with a memory a dict of `slate` and `memory`.

        Args:
            model_input: the arrays that the model's signature names.
            params: not used.

        Raises:
            MlflowException: inputs that do not fit together.
        """
        from mlflow.exceptions import MlflowException

        try:
            answer = self.function(model_input)
        except ConfigError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return answer if self.function.memory_size else answer["slate"]


def _load_pyfunc(path: str) -> PolicyModel:
    """Load the model in a folder; MLflow calls it by this name."""
    return PolicyModel(Path(path))


def write_model(bundle_dir: Path, folder: Path, run_id: str) -> None:
    """Write MLflow's files for a bundle: `MLmodel` with the signature, input example, requirements.

    Args:
        bundle_dir: the bundle, which is only read; copies of its files and these make the model.
        folder: gets the files; empty.
        run_id: MLflow run that the checkpoint comes from.

    Raises:
        ConfigError: no sound bundle, or a policy that cannot act without the simulator.
    """
    model = PolicyModel(bundle_dir)
    example = model.function.example(EXAMPLE_USERS)
    try:
        model.function(example)
    except RuntimeError as error:  # an oracle
        raise ConfigError(f"algo={model.checkpoint.name} cannot be served as a model: {one_line(error)}") from None
    import mlflow.pyfunc
    from mlflow.models import Model

    info, spec = model.checkpoint.bundle.info, model.checkpoint.spec
    about: dict[str, Any] = {"algo": model.checkpoint.name, "env": spec.name, "num_candidates": spec.num_candidates}
    about |= {key: info[key] for key in ("steps", "seed") if key in info}
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module=__name__,
        mlflow_model=Model(run_id=run_id),
        signature=signature(model.function),
        input_example=example,
        pip_requirements=requirements(info.get("versions", {})),
        metadata=about,
    )


def signature(function: StatelessPolicy) -> ModelSignature:
    """Return MLflow's description of a policy's inputs and outputs; slates alone have no name."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(specs: list[ArraySpec], named: bool = True) -> Schema:
        return Schema([TensorSpec(spec.dtype, spec.shape, spec.name if named else None) for spec in specs])

    return ModelSignature(schema(function.inputs), schema(function.outputs, named=function.memory_size > 0))


def requirements(trained_with: Mapping[str, str]) -> list[str]:
    """Return the requirements for loading: the versions trained with, this MLflow's, and safetensors'.

    Local parts of versions (`+cpu`) are left out: no registry has them, and they do not change the code.
    """
    from recsys_cli.tracking.provenance import versions

    here = versions()
    names = ("recsys-cli", "mlflow", "numpy", "torch", "gymnasium", "safetensors")
    found = {name: trained_with.get(name, here[name]) for name in names} | {"mlflow": here["mlflow"]}
    return [f"{name}=={version.partition('+')[0]}" for name, version in found.items() if version != "not installed"]
