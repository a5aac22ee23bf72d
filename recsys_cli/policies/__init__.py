"""Policies: from observations to distributions over slates. Evaluation and serving use only `SlatePolicy`."""

from recsys_cli.policies.base import GreedyPolicy, Observation, SlatePolicy
from recsys_cli.policies.uniform import UniformPolicy

__all__ = ["GreedyPolicy", "Observation", "SlatePolicy", "UniformPolicy"]
