"""Episodes of similar length are read together: the same states and gradients, with less padding."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, make_lm
from torch.distributed.fsdp import FSDPModule

from agents.models.packing import can_pack
from agents.models.reading import MOST_PARTS, _price, parts, read


def passes(trunk):
    """Shapes of what the trunk was given, noted as it is read."""
    seen = []
    trunk.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    return seen


def ragged(lengths, width, vocabulary, seed=0):
    ids = torch.randint(0, vocabulary, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    return ids, (torch.arange(width) < torch.tensor(lengths)[:, None]).long()


def states_and_gradient(model, ids, mask, real):
    model.zero_grad()
    states = read(model.base_model, ids, mask)[real > 0]
    (states * torch.linspace(-1, 1, states.numel()).view_as(states)).sum().backward()
    return states.detach(), [p.grad.clone() for p in model.base_model.parameters()]


@pytest.mark.parametrize("lengths", [[40, 3, 17, 40, 5, 4, 22, 1], [1], [9, 9, 9], [1] * 30 + [40]])
def test_parts_change_neither_states_nor_gradients(lengths, monkeypatch):
    monkeypatch.setattr("agents.models.reading.PRICE", 1)
    model = make_lm()
    ids, mask = ragged(lengths, 40, model.config.vocab_size)
    whole, of_whole = states_and_gradient(model, ids, None, mask)
    seen = passes(model.base_model)
    apart, of_parts = states_and_gradient(model, ids, mask, mask)
    torch.testing.assert_close(apart, whole, atol=1e-5, rtol=1e-5)
    for a, b in zip(of_parts, of_whole, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert sum(rows for rows, _ in seen) == len(lengths)
    assert (len(seen) > 1) == (len(set(lengths)) > 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("lengths", [[40, 3, 17, 40, 5, 4, 22, 1], [1, 9], [30, 0, 12]])
def test_packing_changes_neither_states_nor_gradients(lengths, architecture, monkeypatch):
    monkeypatch.setattr("agents.models.reading.PACKED_FROM", 32)
    model = make_lm(architecture)
    ids, mask = ragged(lengths, 40, model.config.vocab_size)
    whole, of_whole = states_and_gradient(model, ids, None, mask)
    seen = passes(model.base_model)
    packed, of_packed = states_and_gradient(model, ids, mask, mask)
    torch.testing.assert_close(packed, whole, atol=1e-5, rtol=1e-5)
    for a, b in zip(of_packed, of_whole, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert seen == [(1, sum(lengths))] and model.config._attn_implementation == "sdpa"


def test_what_cannot_be_packed_is_read_in_rows(monkeypatch):
    monkeypatch.setattr("agents.models.reading.PACKED_FROM", 32)
    ids, mask = ragged([40, 1, 2, 3], 40, 20)

    def shapes(model):
        seen = passes(model.base_model)
        read(model.base_model, ids, mask)
        return seen

    assert shapes(make_lm()) == [(1, 46)]
    again = make_lm().train()
    again.gradient_checkpointing_enable()  # its layers are computed anew when the pass is over
    eager = make_lm()
    eager.set_attn_implementation("eager")
    window = make_lm("llama")
    window.config.sliding_window = 8
    assert all((1, 46) not in shapes(model) for model in (again, eager, window))


def test_a_layer_with_attention_of_its_own_is_found_out(monkeypatch):
    ids, mask = ragged([40, 1, 2, 3], 40, 20)
    model = make_lm()
    expected = read(model.base_model, ids)
    monkeypatch.setattr("agents.models.reading.PACKED_FROM", 32)
    monkeypatch.setattr("agents.models.packing._OF_THEIR_OWN", set())
    monkeypatch.setattr(model.base_model.h[1].attn, "config", copy.copy(model.config))  # which stays "sdpa"
    for _ in range(2):
        torch.testing.assert_close(read(model.base_model, ids, mask)[mask > 0], expected[mask > 0])
    assert not can_pack(model.base_model)


def test_a_pass_is_made_where_it_pays():
    even, dialogues = np.full(32, 70), np.sort(np.random.default_rng(0).integers(30, 129, 32))
    assert parts(even, 200) == [32]
    assert parts(dialogues, 200) == [10, 11, 11]
    assert parts(dialogues, 4096) == [32]  # on a graphics card a pass costs more than all that padding
    assert sum(parts(np.sort(dialogues[:7]), 1)) == 7
    assert len(parts(np.arange(1, 1000), 0)) == MOST_PARTS


def test_a_pass_costs_fewer_tokens_of_a_wide_model():
    def price(width):
        return _price(SimpleNamespace(config=SimpleNamespace(hidden_size=width)))

    assert [price(width) for width in (64, 128, 256, 576, 4096)] == [200, 200, 50, 32, 32]


def test_shared_weights_are_read_in_one_pass(monkeypatch):
    monkeypatch.setattr("agents.models.reading.PRICE", 0)
    model = make_lm()
    ids, mask = ragged([40, 1, 2, 3], 40, model.config.vocab_size)
    seen = passes(model.base_model)
    block = model.base_model.h[0]
    block.__class__ = type("InParts", (FSDPModule, type(block)), {})
    read(model.base_model, ids, mask)
    assert seen == [(4, 40)]
