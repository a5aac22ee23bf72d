"""The log of a service: what was decided and what came of it. Everything else is a fold of it."""
