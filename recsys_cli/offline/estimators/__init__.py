"""Off-policy estimators: what a policy would earn, from the log of another."""
