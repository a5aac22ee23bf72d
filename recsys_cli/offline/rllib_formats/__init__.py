"""RLlib's formats of logged data: its episodes, in and out, and its old JSON of sample batches, in."""

from recsys_cli.offline.rllib_formats.batches import read_json_batches
from recsys_cli.offline.rllib_formats.episodes import read_episodes, write_episodes

__all__ = ["read_episodes", "read_json_batches", "write_episodes"]
