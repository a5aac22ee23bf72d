"""Distributions over slates, one per user: the output of a policy."""

from recsys_cli.slates.distributions.base import SlateDistribution
from recsys_cli.slates.distributions.enumerated import EnumeratedSoftmax
from recsys_cli.slates.distributions.lazy import DRAWS, Deferred, DrawnOnly
from recsys_cli.slates.distributions.mixture import Mixture, epsilon_mixture
from recsys_cli.slates.distributions.parted import Parted
from recsys_cli.slates.distributions.plackett_luce import PlackettLuceSlates
from recsys_cli.slates.distributions.simple import Certain, Uniform

__all__ = [
    "DRAWS",
    "Certain",
    "Deferred",
    "DrawnOnly",
    "EnumeratedSoftmax",
    "Mixture",
    "Parted",
    "PlackettLuceSlates",
    "SlateDistribution",
    "Uniform",
    "epsilon_mixture",
]
