"""Implicit Q-learning (Kostrikov et al. 2022, arXiv 2110.06169) with item-wise values."""
