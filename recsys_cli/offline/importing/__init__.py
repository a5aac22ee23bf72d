"""The user's own logs into data sets: `recsys import`."""
