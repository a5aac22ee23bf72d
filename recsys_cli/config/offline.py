"""Schemas of the root yamls of commands on logged data."""

from __future__ import annotations
