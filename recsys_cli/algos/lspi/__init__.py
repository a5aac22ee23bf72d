"""Least-squares policy iteration on item-wise features."""
