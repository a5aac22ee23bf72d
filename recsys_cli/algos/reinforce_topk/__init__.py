"""REINFORCE with top-K off-policy correction (Chen et al. 2019, arXiv 1812.02353)."""
