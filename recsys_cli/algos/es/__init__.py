"""Evolution strategies (Salimans et al. 2017, arXiv 1703.03864)."""
