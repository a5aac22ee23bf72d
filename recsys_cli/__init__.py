"""recsys-cli: reinforcement learning for recommender systems in one command line."""

__version__ = "0.1.0"
