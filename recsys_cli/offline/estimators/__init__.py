"""Estimators of what a policy is worth, from a log of another."""
