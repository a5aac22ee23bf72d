"""NeuralLinear: Thompson sampling in a Bayesian linear regression on a learned representation."""
