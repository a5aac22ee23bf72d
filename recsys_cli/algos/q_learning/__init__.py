"""Q-learning from replay on the vectorised runner, shared by SlateQ and full-slate Q-learning."""
