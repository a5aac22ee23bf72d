"""What acts: observation to a distribution over slates. Evaluation, recording and serving know only `SlatePolicy`."""

from recsys_cli.policies.base import GreedyPolicy, Observation, SlatePolicy
from recsys_cli.policies.uniform import UniformPolicy

__all__ = ["GreedyPolicy", "Observation", "SlatePolicy", "UniformPolicy"]
