"""Slate optimisation: which k of C candidates to show, and drawing slates at random."""

from recsys_cli.slates.optimal import optimal_slates, slate_values, whole_slates
from recsys_cli.slates.uniform import log_propensity_of_uniform, uniform_slates

__all__ = ["log_propensity_of_uniform", "optimal_slates", "slate_values", "uniform_slates", "whole_slates"]
