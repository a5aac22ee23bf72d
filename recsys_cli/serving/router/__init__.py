"""Routers: a bandit, or a fixed rule, that chooses which of several policies answers."""
