"""Serving: trained policies over HTTP, a router among them, and the log that closes the circle."""
