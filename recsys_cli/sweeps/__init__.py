"""Sweeps: axes and points, searches on Ray Tune, resuming, results."""
