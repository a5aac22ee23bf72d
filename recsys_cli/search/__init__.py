"""Searches: axes and points, Tune's schedulers and searchers."""
