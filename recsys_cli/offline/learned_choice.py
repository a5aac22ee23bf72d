"""Choice models learned from the clicks of a log, by likelihood."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.envs.spec import Documents
from recsys_cli.networks.choice import LearnedChoice
from recsys_cli.networks.features import Observed
from recsys_cli.networks.optimizers import fused_adam
from recsys_cli.policies.click_models import ConditionalLogit, ItemFeatures
from recsys_cli.policies.network import seeded

Floats = NDArray[np.float64]
Form = Literal["affinity", "products", "logit_network", "proportional_network"]
LINEAR: tuple[Form, ...] = ("affinity", "products")
NETWORKS: tuple[Form, ...] = ("logit_network", "proportional_network")

MOST_FEATURES = 150  # of a logit that is fitted by Newton's method
RIDGE = 1.0
EPOCHS, BATCH, RATE = 12, 512, 3e-3


class FeatureLogit:
    """A conditional logit on features of the user, the session and a document.

    `affinity` sees user . document, if they have as many features, and its square, the document and the state;
    `products` sees all products of (1, state) with (1, document).
    """

    def __init__(self, documents: Documents, user_features: int, state_features: int, products: bool) -> None:
        """Begin with weights of 0."""
        self.affinity = not products and user_features == len(documents)
        kind: Literal["interactions", "user_doc"] = "interactions" if products else "user_doc"
        self.items = ItemFeatures(state_features, documents, kind)
        self.size = self.items.size + 2 * self.affinity
        self.logit = ConditionalLogit(self.size, RIDGE)

    def features(self, seen: Observed) -> Floats:
        """Return the features `[n, m, P]` of the documents."""
        items = self.items(seen.state.double().numpy(), seen.doc.numpy())
        if not self.affinity:
            return items
        dense = self.items.documents.dense(seen.doc.numpy())
        score = np.einsum("nmf,nf->nm", dense, seen.user.double().numpy())[..., None]
        return np.concatenate([items, score, score**2], axis=-1)

    def fit(self, seen: Observed, clicked: Tensor) -> None:
        """Fit to the shown documents and the positions clicked, k for none."""
        there = None if seen.mask is None else seen.mask.numpy()
        self.logit.learn(self.features(seen), clicked.numpy(), there)

    def __call__(self, seen: Observed) -> tuple[Tensor, Tensor]:
        """Return `v` [n, m] and `v_null` [n], the largest of a row 1."""
        return self.logit.choice_scores(self.features(seen))


def fit_form(
    form: Form,
    documents: Documents,
    learned: tuple[Observed, Tensor],
    judged: tuple[Observed, Tensor],
    seed: int,
) -> FeatureLogit | LearnedChoice | None:
    """Return a model of one form; None for a logit of too many features.

    Args:
        form: see `FeatureLogit` and `networks.choice.LearnedChoice`.
        documents: what they look like.
        learned: the shown documents as candidates, and the positions clicked.
        judged: the same of episodes held out, by which a network's number of epochs is chosen.
        seed: of a network's initial weights and of the order of the steps.
    """
    seen, clicked = learned
    if form.endswith("network"):
        return _trained(documents, form == "proportional_network", learned, judged, seed)
    model = FeatureLogit(documents, seen.user.shape[-1], seen.state.shape[-1], form == "products")
    if model.size > MOST_FEATURES:
        return None
    model.fit(seen, clicked)
    return model


def _trained(
    documents: Documents,
    proportional: bool,
    learned: tuple[Observed, Tensor],
    judged: tuple[Observed, Tensor],
    seed: int,
) -> LearnedChoice:
    """Return the network of the epoch whose held-out likelihood is best."""
    seen, clicked = learned
    model = seeded(seed, lambda: LearnedChoice(seen.state.shape[-1], documents, proportional))
    optimizer = fused_adam(list(model.parameters()), lr=RATE)
    shuffle = torch.Generator().manual_seed(seed)
    best, weights = np.inf, model.state_dict()
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.7**epoch
        for rows in torch.randperm(len(clicked), generator=shuffle).split(BATCH):
            part = seen.take(rows)
            optimizer.zero_grad()
            model.loss(part, clicked[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(model.loss(*judged))
        if loss < best:
            best, weights = loss, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return model
