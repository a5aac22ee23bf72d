"""Q-learning from replay on the vectorised runner: what SlateQ and full-slate Q-learning share."""
