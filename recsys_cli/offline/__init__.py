"""Logged data: data sets, what can be learned from them, and how far their estimates can be trusted."""
