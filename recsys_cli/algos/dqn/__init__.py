"""DQN: RLlib's own (Mnih et al. 2015; double Q-learning, van Hasselt et al. 2016) over enumerated slates."""
