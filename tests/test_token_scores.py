"""Scores of tokens, computed for parts of the vocabulary: the same numbers and gradients as for the whole."""

import pytest
import torch
from torch import nn

from agents.models import token_scores
from agents.models.end_tokens import OneEnd
from agents.models.silent_tokens import NEVER, Silence
from agents.models.token_scores import all_scores, taken_and_total, token_logprobs

K, V, D = 7, 23, 5


def drawn():
    rng = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*size, generator=rng).requires_grad_() for size in ((K, D), (V, D), (V,)))
    action = torch.randint(0, V, (K,), generator=rng)
    action[:2] = torch.tensor([0, V - 1])
    return x, weight, bias, action, torch.randn(2, K, generator=rng)


def gradients(taken, total, by, inputs):
    return torch.autograd.grad((by[0] * taken + by[1] * total).sum(), inputs)


@pytest.mark.parametrize("part", [K, 3 * K, 10**6])  # a column at a time, three (23 is no multiple), all
@pytest.mark.parametrize("kept_from", [1, 1000])
@pytest.mark.parametrize("silent", [None, torch.tensor([3, 4, 22])])
def test_parts_are_the_whole(part, kept_from, silent, monkeypatch):
    monkeypatch.setattr(token_scores, "PART", part)
    monkeypatch.setattr(token_scores, "KEPT_FROM", kept_from)
    x, weight, bias, action, by = drawn()
    scores = x @ weight.T + bias  # [K, V]
    if silent is not None:
        action[2] = 4  # which cannot be said
        scores = scores.index_fill(1, silent, NEVER)
    expected = scores.gather(1, action[:, None]).squeeze(1), scores.logsumexp(1)
    found = taken_and_total(x, weight, bias, action, silent)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    inputs = (x, weight, bias)
    for one, other in zip(gradients(*found, by, inputs), gradients(*expected, by, inputs), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_what_needs_no_gradient_gets_none():
    x, weight, bias, action, _ = drawn()
    taken, total = taken_and_total(x, weight.detach(), None, action)
    (taken - total).sum().backward()
    assert x.grad.any() and weight.grad is None
    taken, _ = taken_and_total(x.detach(), weight, bias, action)
    taken.sum().backward()
    assert torch.equal(bias.grad, torch.zeros(V).index_add(0, action, torch.ones(K)))


def test_no_states_are_nothing():
    _, weight, bias, action, _ = drawn()
    taken, total = taken_and_total(torch.zeros(0, D), weight, bias, action[:0])
    (taken - total).sum().backward()
    assert len(taken) == len(total) == 0 and not weight.grad.any()


@pytest.mark.parametrize("autocast", [False, True])
def test_in_half_precision_sums_stay_in_full(autocast, monkeypatch):
    monkeypatch.setattr(token_scores, "PART", 3 * K)
    x, weight, bias, action, _ = drawn()
    exact = torch.nn.functional.cross_entropy(x @ weight.T + bias, action)
    if not autocast:
        x, weight, bias = (p.detach().bfloat16().requires_grad_() for p in (x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        taken, total = taken_and_total(x, weight, bias, action)
    assert taken.dtype == total.dtype == torch.float32
    (total - taken).mean().backward()
    assert (total - taken).mean().item() == pytest.approx(exact.item(), rel=0.01)
    assert x.grad.dtype == weight.grad.dtype == (torch.float32 if autocast else torch.bfloat16)


def test_the_head_says_which_scores_there_are():
    x, _, _, action, _ = drawn()
    action = action.clamp(max=9)
    plain, silenced, own = nn.Linear(D, V), nn.Linear(D, V), nn.Sequential(nn.Linear(D, V))
    silenced.register_forward_hook(Silence(torch.tensor([8, 20])))
    for head in (plain, silenced, own):
        for tokens in (None, 10):
            expected = head(x)[:, :tokens].log_softmax(-1).gather(1, action[:, None]).squeeze(1)
            torch.testing.assert_close(token_logprobs(head, x, action, tokens), expected)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 4), (9,), (0,)])
@torch.no_grad()
def test_a_few_rows_are_turned_round(shape, monkeypatch):
    monkeypatch.setattr(token_scores, "PART", 1)
    x = torch.randn(*shape, D, generator=torch.Generator().manual_seed(0))
    head = nn.Linear(D, V, bias=False)
    torch.testing.assert_close(all_scores(head, x), head(x))
    head.register_forward_hook(Silence(torch.tensor([8])))
    torch.testing.assert_close(all_scores(head, x), head(x))


@pytest.mark.parametrize("bias", [True, False])
def test_ends_that_are_one_have_the_gradients_of_the_whole_table(bias):
    x, _, _, action, _ = drawn()
    action[:4] = torch.tensor([6, 6, 2, 9])  # the end twice, and ends that are never said
    head = nn.Linear(D, V, bias=bias)
    head.register_forward_hook(OneEnd(6, [2, 9]))
    head.register_forward_hook(Silence(torch.tensor([8])))
    expected = head(x).log_softmax(-1).gather(1, action[:, None]).squeeze(1)
    found, inputs = token_logprobs(head, x, action), (x, *head.parameters())
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(y[:2].sum(), inputs) for y in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)
