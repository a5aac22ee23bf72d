"""Evaluating policies: fresh greedy episodes, intervals, and the baselines beside them."""
