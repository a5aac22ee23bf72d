"""Simulators learned from logs: fitted by likelihood, chosen and checked on held-out sessions."""
