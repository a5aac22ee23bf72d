# /// script
# requires-python = ">=3.10,<3.12"
# dependencies = [
#     "edward2==0.0.2",
#     "gym==0.26.2",
#     "numpy==1.26.4",
#     "recsim-ng==0.1.2",
#     "scipy==1.10.1",
#     "tensorflow-cpu==2.15.1",
#     "tensorflow-probability==0.23.0",
# ]
# [tool.uv]
# override-dependencies = ["tensorflow ; python_version < '3'"]  # its CPU build is above
# ///
"""User steps per CPU second of RecSim NG's interest evolution, in an environment of its own (TensorFlow).

    echo 10 recommender | uv run --script experiments/simulation_speed/ng.py 1024 2

Arguments: users and slate size. Each line of input asks for one round, and its speed is printed: of a number of
documents, and of slates by `recommender`, RecSim NG's own collaborative-filtering network (untrained), or `random`,
drawn uniformly. The first round of each also builds the graph. `run.py` starts this and asks for one round after
another.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import gym
import tensorflow as tf
from recsim_ng.applications.recsys_partially_observable_rl import corpus, metrics, recommender, user
from recsim_ng.core.network import Network
from recsim_ng.lib.tensorflow import entity
from recsim_ng.lib.tensorflow.runtime import TFRuntime
from recsim_ng.stories import recommendation_simulation

STEPS = 40  # a round's steps of all users, one TensorFlow graph
NUM_TOPICS = 20
HISTORY = 15  # documents that the recommender remembers; RecSim NG's default


class Box(gym.spaces.Box):
    """gym's, which refuses the tensors that RecSim NG gives as shapes."""

    def __init__(self, low: Any, high: Any, shape: Any = None, **more: Any) -> None:
        """Cast the shape to numbers."""
        super().__init__(low, high, None if shape is None else tuple(int(n) for n in shape), **more)


class SameScores(tf.keras.Model):
    """Scores all documents alike, so that slates are drawn uniformly."""

    def __init__(self, num_users: int, num_docs: int, *unused: Any) -> None:
        """Take the arguments of RecSim NG's own model."""
        super().__init__()
        self._scores = tf.zeros((num_users, num_docs))

    def call(self, *history: Any) -> tf.Tensor:
        """Return the scores `[users, documents]`."""
        return self._scores


def simulation(users: int, documents: int, slate_size: int, shown: str) -> TFRuntime:
    """Return RecSim NG's interest evolution, as its `create_interest_evolution_simulation_network` builds it."""
    config = {
        "num_users": users,
        "num_docs": documents,
        "slate_size": slate_size,
        "num_topics": NUM_TOPICS,
        "history_length": HISTORY,
    }
    documents_for_good = corpus.CorpusWithTopicAndQuality(config).initial_state()
    more = {} if shown == "recommender" else {"model_ctor": SameScores}
    story = functools.partial(
        recommendation_simulation.recs_story,
        config,
        user.InterestEvolutionUser,
        lambda config: corpus.StaticCorpus(config, documents_for_good),
        functools.partial(recommender.CollabFilteringRecommender, **more),
        metrics.ConsumedTimeAsRewardMetrics,
    )
    variables, _ = entity.story_with_trainable_variables(story)
    return TFRuntime(Network(variables=list(variables)))


def main() -> None:
    """Answer each line of input by the user steps per CPU second of one round."""
    gym.spaces.Box = Box
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    users, slate_size = map(int, sys.argv[1:])
    runtimes: dict[str, TFRuntime] = {}
    for line in sys.stdin:
        if line not in runtimes:
            documents, shown = line.split()
            runtimes[line] = simulation(users, int(documents), slate_size, shown)
        start = time.process_time()
        runtimes[line].execute(STEPS)["metrics state"].get("cumulative_reward").numpy()
        print(users * STEPS / (time.process_time() - start), flush=True)


if __name__ == "__main__":
    main()
