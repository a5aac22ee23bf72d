"""The problems: a user, candidate documents, a slate, and the user's response to it.

Importing this package registers them with gymnasium, as `recsys/InterestEvolution-v0` and so on; gymnasium does so
itself for `gymnasium.make("recsys_cli.envs:recsys/InterestEvolution-v0")`.
"""

from recsys_cli.envs.registration import register_envs

register_envs()
