"""Gradient steps on the minibatches of one update, shared by the algorithms that draw their rows themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.compiled import CompiledStep, RecordedStep
from recsys_cli.algos.finite_learner import FiniteLearner
from recsys_cli.networks.optimizers import RMSprop, fused_adam

Step = tuple[dict[str, Tensor], Tensor, Sequence[Tensor]]  # outputs, loss, gradients

UPDATES = "gradient_steps"


class MinibatchLearner(FiniteLearner):
    """Takes a gradient step for each minibatch of an update.

    One RLlib `update` call gets many minibatches, since its fixed cost is that of ten gradient steps; `_update` loops
    over them.
    """

    @override(Learner)
    def build(self) -> None:
        """Build the module."""
        super().build()
        self.gradient_steps = 0
        # Collected once: walking the modules would take a tenth of a small gradient step.
        self.trained = list(self._params.values())
        self.step: Callable[[dict[str, Tensor]], Step] = self.gradients
        if self.config.compiled:
            self.step = CompiledStep(self.gradients)
            if self.device.type == "cuda":
                self.step = RecordedStep(self.step)

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig) -> None:
        """Make the optimiser."""
        params = [p for p in self.get_parameters(self._module[module_id]) if p.requires_grad]
        if config.settings.optimizer == "adam":
            optimizer: torch.optim.Optimizer = fused_adam(params, config.settings.lr)
        else:
            optimizer = RMSprop(params, lr=config.settings.lr, alpha=0.95, eps=1e-5, foreach=True)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=config.lr_schedule_of_run()
        )

    @override(TorchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """Take one gradient step for each minibatch of `batch_size` rows.

        Returns:
            The last forward output, the mean losses, and no further metrics.
        """
        size, total = self.config.settings.batch_size // max(self.config.num_learners, 1), None
        columns = batch[DEFAULT_MODULE_ID]
        for minibatch in minibatches(columns, max(size, 1)):
            outputs, loss, gradients = self.step(minibatch)
            self.apply_gradients(self.postprocess_gradients(dict(zip(self._params, gradients, strict=True))))
            self.gradient_steps += 1
            # What a recorded step returns, the next one overwrites.
            total = loss.clone() if total is None else total + loss
            self.after_gradient_step(minibatch, outputs)
        self.newest = minibatch
        assert total is not None  # an update has a minibatch
        self.watch(total)
        steps = -(-len(columns["reward"]) // max(size, 1))
        return {DEFAULT_MODULE_ID: outputs}, {DEFAULT_MODULE_ID: total / steps}, {}

    def after_gradient_step(self, minibatch: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        """Do what follows a gradient step; what a recorded step returned, the next one overwrites."""

    def gradients(self, minibatch: dict[str, Tensor]) -> Step:
        """Return outputs and loss of a minibatch, detached, and the loss's gradient for each `trained` parameter.

        It may be compiled (`CompiledStep`): it changes nothing but gradients, and never branches on tensor values.
        """
        outputs = self._forward(minibatch)
        loss = self.compute_loss_for_module(
            module_id=DEFAULT_MODULE_ID, config=self.config, batch=minibatch, fwd_out=outputs
        )
        gradients = self._averaged(loss) if self.config.num_learners > 1 else self._own(loss)
        return {name: output.detach() for name, output in outputs.items()}, loss.detach(), gradients

    def _own(self, loss: Tensor) -> Sequence[Tensor]:
        # Fused optimisers read memory in order, whatever the strides: a weight used transposed has such a gradient.
        return [gradient.contiguous() for gradient in torch.autograd.grad(loss, self.trained)]

    def _averaged(self, loss: Tensor) -> Sequence[Tensor]:
        """Return the gradient's mean over the learners, which the DDP wrapper computes as gradients accumulate."""
        for parameter in self.trained:
            parameter.grad = None
        loss.backward()
        return [parameter.grad for parameter in self.trained]

    def _forward(self, minibatch: dict[str, Tensor]) -> dict[str, Tensor]:
        module = self.module[DEFAULT_MODULE_ID]
        if self.config.num_learners > 1:
            return module.forward_train(minibatch)  # through the DDP wrapper, which averages gradients
        # `forward_train` would set every submodule to training mode again, a tenth of a gradient step's cost.
        return module.unwrapped()._forward_train(minibatch)

    @abstractmethod
    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Return the loss of a minibatch; may add tensors to `fwd_out`."""

    @override(TorchLearner)
    def apply_gradients(self, gradients_dict: dict[Any, Any]) -> None:
        """Step the optimiser; gradients already lie on the parameters."""
        for ref, gradient in gradients_dict.items():
            self._params[ref].grad = gradient
        for optimizer in self._named_optimizers.values():
            optimizer.step()

    @override(Learner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the count of gradient steps, which times the periodic target."""
        return {**super().get_state(*args, **kwargs), UPDATES: self.gradient_steps}

    @override(Learner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        super().set_state(state)
        self.gradient_steps = state.get(UPDATES, self.gradient_steps)


def minibatches(columns: dict[str, Tensor], size: int) -> Iterator[dict[str, Tensor]]:
    """Cut the columns into consecutive minibatches."""
    columns = {name: column for name, column in columns.items() if isinstance(column, Tensor)}
    split = {name: column.split(size) for name, column in columns.items()}
    for i in range(len(split["reward"])):
        yield {name: parts[i] for name, parts in split.items()}
