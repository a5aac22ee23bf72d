"""Simulated users of a service, over HTTP."""

from recsys_cli.serving.simulation.play import simulate as simulate
