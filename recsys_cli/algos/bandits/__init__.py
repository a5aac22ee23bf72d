"""Bandits as RLlib algorithms: posteriors in closed form instead of gradients, every transition used once."""
