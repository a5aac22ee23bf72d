"""Sessions between two decisions: what is remembered of them, and who carries it."""
