"""A network's parameters as arrays, as kept in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from recsys_cli.config.errors import ConfigError


def parameters_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return the parameters by name."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def load_parameters(network: nn.Module, tensors: Mapping[str, np.ndarray]) -> None:
    """Restore parameters.

    Raises:
        ConfigError: names or shapes do not match this network.
    """
    try:
        network.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise ConfigError(f"the checkpoint's parameters do not fit this env or algo: {detail}") from None
