"""The problems: a user, candidate documents, a slate, and the user's response to it.

Importing this package registers them with gymnasium, as `recsys/InterestEvolution-v0` and so on; `import recsys_cli`
does so as soon as gymnasium is imported, and gymnasium itself for
`gymnasium.make("recsys_cli:recsys/InterestEvolution-v0")`.
"""

from recsys_cli.envs.registration import register_envs

register_envs()
