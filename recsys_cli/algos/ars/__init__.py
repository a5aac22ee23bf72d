"""Augmented random search (Mania et al. 2018, arXiv 1803.07055), version V2-t."""
