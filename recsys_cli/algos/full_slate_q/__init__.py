"""Full-slate Q-learning: one value for a whole slate, the undecomposed baseline of the SlateQ paper (section 6.3)."""
