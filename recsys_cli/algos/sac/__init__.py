"""Discrete SAC: RLlib's own (Haarnoja et al. 2018; Christodoulou 2019, arXiv 1910.07207) over enumerated slates."""
