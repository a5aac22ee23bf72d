"""The random baseline."""
