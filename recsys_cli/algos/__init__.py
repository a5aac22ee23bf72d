"""Algorithms, one folder each: a config (light), and what RLlib needs (heavy, imported when a training starts)."""
