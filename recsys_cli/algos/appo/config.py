"""APPO's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.impala.config import VTraceConfig
from recsys_cli.config.ranges import NonNegative, Positive, PositiveFraction

if TYPE_CHECKING:
    from recsys_cli.algos.appo.algorithm import SlateAPPOConfig
    from recsys_cli.config.schema import TrainConfig


@dataclass
class APPOConfig(VTraceConfig):
    """Asynchronous PPO. Keys are explained, and defaults given, in `conf/algo/appo.yaml`."""

    clip_param: Positive
    kl_coeff: NonNegative
    kl_target: Positive
    target_tau: PositiveFraction

    def module_class(self) -> type:
        """Return the RLlib module."""
        from recsys_cli.algos.appo.algorithm import SlateAPPOModule

        return SlateAPPOModule

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.appo.algorithm import SlateAPPOLearner

        return SlateAPPOLearner

    def algorithm_config(self, run: TrainConfig, seed: int) -> SlateAPPOConfig:
        """Return RLlib's config."""
        from recsys_cli.algos.appo.algorithm import SlateAPPOConfig

        config = SlateAPPOConfig()
        config.of_v_trace(
            self,
            run,
            seed,
            # RLlib's circular buffer draws from a stream that no checkpoint holds; epochs learn as often.
            use_circular_buffer=False,
            circular_buffer_num_batches=1,
            circular_buffer_iterations_per_batch=1,
            target_network_update_freq=1,
            tau=self.target_tau,
            clip_param=self.clip_param,
            use_kl_loss=self.kl_coeff > 0,
            kl_coeff=self.kl_coeff,
            kl_target=self.kl_target,
        )
        return config
