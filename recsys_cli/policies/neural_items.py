"""Item values by Bayesian linear regression on a representation that a network learns (NeuralLinear).

Riquelme et al. 2018, arXiv 1802.09127, section 3: the network is trained on item outcomes by gradient descent; its last
hidden layer gives the regression's features. The regression uses a copy of the network that is renewed now and then;
between renewals it is exact, and at each it restarts from the remembered observations.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_cli.networks.item_values import mlp
from recsys_cli.networks.optimizers import Adam, load_optimizer_state, optimizer_state
from recsys_cli.networks.parameters import load_parameters, parameters_of
from recsys_cli.policies.click_models import ItemFeatures
from recsys_cli.policies.item_index import Index
from recsys_cli.policies.item_values import BanditDesign, ItemValues
from recsys_cli.policies.memory import memory_features
from recsys_cli.policies.network import seeded
from recsys_cli.policies.posterior import Floats, LinearRegressions

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


@dataclass(frozen=True)
class Representation:
    """How the representation is learned.

    Attributes:
        hidden: widths of the hidden layers; the last is the number of features less one.
        lr: Adam's learning rate.
        batch_size: observations a gradient step.
        replay_ratio: times each observation is learned from, on average.
        replay_capacity: observations remembered.
        renew_every: env steps between renewals of the regression's representation.
    """

    hidden: Sequence[int]
    lr: float
    batch_size: int
    replay_ratio: float
    replay_capacity: int
    renew_every: int


class RepresentationNetwork(nn.Module):
    """An MLP whose last hidden layer, with a constant 1, is the representation `[..., H + 1]`."""

    def __init__(self, features: int, hidden: Sequence[int]) -> None:
        """Build the layers."""
        super().__init__()
        self.body = mlp([features, *hidden])
        self.head = nn.Linear(hidden[-1], 1)

    def represent(self, x: Tensor) -> Tensor:
        """Return the representation of features `[..., P]`."""
        hidden = torch.relu(self.body(x))
        return torch.cat([torch.ones_like(hidden[..., :1]), hidden], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's own prediction, `[...]`."""
        return self.head(torch.relu(self.body(x)))[..., 0]


class NeuralItems(ItemValues):
    """The network, its copy for the regression, the regression, and the observations."""

    def __init__(self, spec: ProblemSpec, design: BanditDesign, representation: Representation, seed: int) -> None:
        """Begin with a random representation.

        Args:
            spec: the problem; the number of candidates is free.
            design: gives prior, forgetting and memory.
            representation: how it is learned.
            seed: of initial weights and minibatches.
        """
        users = len(spec.user) + memory_features(design.memory, spec)
        self.features = ItemFeatures(users, spec.documents, "user_doc")
        self.how, size = representation, self.features.size
        self.network = seeded(seed, lambda: RepresentationNetwork(size, representation.hidden))
        self.stood_on = copy.deepcopy(self.network)
        self.optimizer = Adam(self.network.parameters(), lr=representation.lr)
        self.regression = LinearRegressions(1, representation.hidden[-1] + 1, design.ridge, design.forgetting)
        self.rng = np.random.Generator(np.random.SFC64(seed))
        self.x: NDArray[np.float32] = np.zeros((representation.replay_capacity, size), np.float32)
        self.y: NDArray[np.float32] = np.zeros(representation.replay_capacity, np.float32)
        self.seen = self.since_renewal = 0
        self.rows_due = 0.0

    def index(self, user: NDArray[Any], doc: NDArray[Any], index: Index, rng: np.random.Generator) -> Floats:
        """See `ItemValues.index`."""
        belief, z = self.regression, self._represent(self.features(user, doc))
        return index.joint(z, belief.weights[0], lambda: belief.noise * belief.factor[0], rng)

    def learn(
        self, user: NDArray[Any], doc: NDArray[Any], y: NDArray[Any], age: NDArray[np.int64], passed: int
    ) -> float:
        """See `ItemValues.learn`."""
        x = self.features(user, doc)[:, 0].astype(np.float32)
        z = self._represent(x)
        error = float(np.square(self.regression.predict(z) - y).mean()) if len(y) else 0.0
        self.regression.learn(z, y, None, age, passed)
        self._remember(x, y)
        self._train(len(y))
        self.since_renewal += passed
        if self.since_renewal >= self.how.renew_every:
            self._renew()
        return error

    def _represent(self, x: NDArray[Any]) -> Floats:
        with torch.no_grad():
            representation: Floats = self.stood_on.represent(torch.as_tensor(x, dtype=torch.float32)).double().numpy()
        return representation

    def _remember(self, x: NDArray[np.float32], y: NDArray[Any]) -> None:
        size = len(self.y)
        x, y = x[-size:], y[-size:]
        at = (self.seen + np.arange(len(y))) % size
        self.x[at], self.y[at] = x, y
        self.seen += len(y)

    @property
    def kept(self) -> int:
        """Observations in memory."""
        return min(self.seen, len(self.y))

    def _train(self, added: int) -> None:
        """Take the gradient steps that are due, on squared errors in units of the rewards' root mean square."""
        self.rows_due += added * self.how.replay_ratio
        unit = float(np.sqrt(np.square(self.y[: self.kept]).mean())) if self.kept else 0.0
        while self.rows_due >= self.how.batch_size and self.kept:
            self.rows_due -= self.how.batch_size
            rows = self.rng.integers(0, self.kept, self.how.batch_size)
            target = torch.from_numpy(self.y[rows] / (unit or 1.0))
            loss = (self.network(torch.from_numpy(self.x[rows])) - target).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def _renew(self) -> None:
        """Copy the current network, and regress the remembered observations on it."""
        self.since_renewal = 0
        self.stood_on.load_state_dict(self.network.state_dict())
        belief = self.regression
        self.regression = LinearRegressions(1, belief.moment.shape[1], belief.ridge, belief.forgetting)
        self.regression.learn(self._represent(self.x[: self.kept]), self.y[: self.kept])

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the regression and its copy of the network."""
        network = {f"network.{name}": value for name, value in parameters_of(self.stood_on).items()}
        return network | self.regression.tensors()

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        start = "network."
        parameters = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
        for network in (self.stood_on, self.network):
            load_parameters(network, parameters)
        self.regression.load_tensors({name: value for name, value in tensors.items() if not name.startswith(start)})

    def get_state(self) -> dict[str, Any]:
        """Return the network, its optimiser, the memory and the counters."""
        counters = {name: getattr(self, name) for name in ("seen", "since_renewal", "rows_due")}
        arrays = {"x": self.x[: self.kept].copy(), "y": self.y[: self.kept].copy()}
        learned = {"network": parameters_of(self.network), "optimizer": optimizer_state(self.optimizer)}
        return {**counters, **arrays, **learned, "rng": self.rng.bit_generator.state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned."""
        for name in ("seen", "since_renewal", "rows_due"):
            setattr(self, name, state[name])
        self.x[: self.kept], self.y[: self.kept] = state["x"], state["y"]
        load_parameters(self.network, state["network"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
