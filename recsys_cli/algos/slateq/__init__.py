"""SlateQ: item-wise Q-learning for slates (Ie et al. 2019, arXiv 1905.12767), with a learned value of no click."""
