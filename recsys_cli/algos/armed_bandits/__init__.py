"""N-armed bandits over topics or whole slates: UCB1, KL-UCB, Thompson sampling, epsilon-greedy."""
