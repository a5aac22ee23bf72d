"""Behaviour cloning: the slates' log-likelihood under a Plackett-Luce distribution."""
