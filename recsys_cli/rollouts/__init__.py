"""Playing policies: transition chunks, replay, the vectorised env runner, whole episodes."""
