"""LinUCB, linear Thompson sampling and linear epsilon-greedy: the same models, ranked by different indices."""
