"""Item-wise networks: one-hot documents by number or by features, any C, no user features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recsys_cli.envs.spec import Documents, Features
from recsys_cli.networks.item_values import CACHED, Concat, DocumentValues, TwoTower


def networks(users, docs, one_hot):
    torch.manual_seed(1)
    documents = Documents(Features.of(docs), topics=docs if one_hot else 0)
    concat = Concat(users, documents, [32, 16], scale=30.0)
    nn.init.normal_(concat.first_null)
    return {
        "two_tower": TwoTower(users, documents, [16, 16], 8, scale=30.0),
        "concat": concat,
        "documents": DocumentValues(documents, [16, 16], 8, scale=30.0),
    }


KINDS = ["two_tower", "concat", "documents"]


@pytest.mark.parametrize("candidates", [11, 31])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_and_one_hot_features_are_the_same_documents(kind, candidates):
    net = networks(20, 20, one_hot=True)[kind]
    user, topic = torch.rand(7, 20) * 2 - 1, torch.randint(0, 20, (7, candidates))
    by_number = net(user, topic)
    for number_dtype in (torch.uint8, torch.int16):
        torch.testing.assert_close(net(user, topic.to(number_dtype)), by_number)
    by_features = net(user, nn.functional.one_hot(topic, 20).float())
    torch.testing.assert_close(by_number, by_features, atol=1e-5, rtol=1e-5)
    assert by_number[0].shape == (7, candidates) and by_number[1].shape == (7,)


@pytest.mark.parametrize("form", ["index", "dense"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_document_or_the_null_is_worth_what_it_is_among_others(kind, form):
    net = networks(4, 6, one_hot=form == "index")[kind]
    user, nothing = torch.rand(5, 4), torch.tensor([False, True, False, True, False])
    doc = torch.randint(0, 6, (5, 3), dtype=torch.uint8) if form == "index" else torch.rand(5, 3, 6)
    q, q_null = net(user, doc)
    torch.testing.assert_close(net.one(user, doc[:, 2], nothing), q_null.where(nothing, q[:, 2]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("users", [0, 4])
def test_a_document_s_value_depends_on_no_other_candidate(kind, users):
    net = networks(users, 3, one_hot=False)[kind]
    user, doc = torch.rand(5, users), torch.rand(5, 9, 3)
    q, q_null = net(user, doc)
    for c in (1, 4):
        fewer, null = net(user, doc[:, :c])
        torch.testing.assert_close(fewer, q[:, :c])
        torch.testing.assert_close(null, q_null)
    if not users:
        torch.testing.assert_close(q_null, q_null[:1].expand(5))


@pytest.mark.parametrize("form", ["index", "dense"])
@pytest.mark.parametrize("candidates", [3, 9])
def test_many_users_are_valued_as_few_are(candidates, form):
    """More of them than are computed at a time."""
    net = networks(4, 6, one_hot=form == "index")["concat"]
    users = 2 * CACHED // 32 // min(candidates + 1, 7) + 1
    user = torch.rand(users, 4)
    doc = torch.randint(0, 6, (users, candidates)) if form == "index" else torch.rand(users, candidates, 6)
    few = [net(*part) for part in zip(user.split(1000), doc.split(1000), strict=True)]
    for many, parts in zip(net(user, doc), zip(*few, strict=True), strict=True):
        torch.testing.assert_close(many, torch.cat(parts))


def test_concat_is_an_mlp_over_the_concatenation():
    net = networks(4, 3, one_hot=False)["concat"]
    plain = nn.Sequential(nn.Linear(7, 32), *net.rest)
    with torch.no_grad():
        plain[0].weight.copy_(torch.cat([net.first_user.weight, net.first_doc.weight], dim=1))
        plain[0].bias.copy_(net.first_user.bias)
    user, doc = torch.rand(6, 4), torch.rand(6, 5, 3)
    joined = torch.cat([user[:, None].expand(-1, 5, -1), doc], dim=-1)
    torch.testing.assert_close(net(user, doc)[0], plain(joined).squeeze(-1) * 30.0, atol=1e-5, rtol=1e-5)


def test_document_values_are_blind_to_the_user_and_the_others_are_not():
    user, doc = torch.rand(2, 6, 4), torch.rand(6, 5, 3)
    for kind, net in networks(4, 3, one_hot=False).items():
        (q, q_null), (other, other_null) = net(user[0], doc), net(user[1], doc)
        assert torch.equal(q, other) == torch.equal(q_null, other_null) == (kind == "documents")


def test_two_tower_s_document_tower_makes_values_nonlinear_in_dense_features():
    net = networks(0, 1, one_hot=False)["two_tower"]
    q, _ = net(torch.zeros(1, 0), torch.tensor([[[0.0], [0.5], [1.0]]]))
    assert abs(q[0, 0] + q[0, 2] - 2 * q[0, 1]) > 1e-3
