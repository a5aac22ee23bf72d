"""IMPALA: RLlib's own (Espeholt et al. 2018, arXiv 1802.01561) on slates."""
