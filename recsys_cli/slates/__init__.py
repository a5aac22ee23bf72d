"""Slates of k out of C candidates: the best ones, random ones, and distributions over them."""
