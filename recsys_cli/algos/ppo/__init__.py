"""PPO: RLlib's own (Schulman et al. 2017, arXiv 1707.06347) with slates drawn from a Plackett-Luce distribution."""
