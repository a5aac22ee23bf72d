"""Tabular Q-learning, RecSim's `TabularQAgent`."""
