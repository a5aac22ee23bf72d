"""Slate optimisation: which k of C candidates to show, and drawing slates at random."""

from recsys_cli.slates.heuristics import greedy_slates, top_k_slates
from recsys_cli.slates.optimal import optimal_slates, slate_values
from recsys_cli.slates.optimisers import OPTIMISERS, whole_slates
from recsys_cli.slates.uniform import log_propensity_of_uniform, uniform_slates

__all__ = [
    "OPTIMISERS",
    "greedy_slates",
    "log_propensity_of_uniform",
    "optimal_slates",
    "slate_values",
    "top_k_slates",
    "uniform_slates",
    "whole_slates",
]
