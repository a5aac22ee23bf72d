"""The myopic baseline."""
