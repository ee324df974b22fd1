"""The Q heads' last layers, and values backed up from the whole vocabulary."""

import numpy as np
import pytest
import torch
from test_model import TRUNKS, episodes, left_padded, no_actions, states_of
from tiny_models import ARCHITECTURES, END, PAD, VOCABULARY, make_lm, make_model
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from agents.data.batch import collate
from agents.decoding.sampling import shape_scores
from agents.models import value_lm
from agents.models.heads import Heads
from agents.models.silent_tokens import silence
from agents.models.value_lm import ValueLM

SMALL = ("low_rank", "tied")


def parameters(n: int, d: int, width: int, out: int, last: str, rank: int) -> int:
    """By arithmetic: the first layer, what the last one reads, its rows where they are its own, and its constants."""
    reads = {"full": 0, "low_rank": width * rank, "tied": width * d + d}[last]
    rows = {"full": width * out, "low_rank": rank * out, "tied": 0}[last]
    return n * ((d + 1) * width + reads + rows + out)


@pytest.mark.parametrize(
    ("last", "one", "trained"), [("full", 78.43, 3.14), ("low_rank", 4.55, 0.18), ("tied", 2.41, 0.10)]
)
def test_the_sizes_the_file_states(last, one, trained):
    small = (2, 8, 16, 50, last, 4)
    assert sum(p.numel() for p in Heads(*small).parameters()) == parameters(*small)
    with torch.device("meta"):
        count = sum(p.numel() for p in Heads(1, 768, 1536, 50257, last, 64).parameters())
    assert count == parameters(1, 768, 1536, 50257, last, 64)
    assert count / 1e6 == pytest.approx(one, abs=0.005)
    assert 2 * (16 + 4) * count / 1e9 == pytest.approx(trained, abs=0.005)


@pytest.mark.parametrize("last", ["full", *SMALL])
@torch.no_grad()
def test_a_head_is_its_equation_and_one_output_is_that_of_all(last):
    rng = torch.Generator().manual_seed(0)
    heads, x, tokens = Heads(2, 8, 16, 11, last, rank=3), *(torch.randn(n, 8, generator=rng) for n in (5, 11))
    for layer in heads.out:
        layer.bias.copy_(torch.randn(11, generator=rng))
    q = heads(x, tokens)
    for units, layer, found in zip(F.relu(heads.hidden(x)).chunk(2, -1), heads.out, q, strict=True):
        read = units if last == "full" else layer.project(units)
        rows = tokens if last == "tied" else layer.weight
        torch.testing.assert_close(found, read @ rows.T + layer.bias)
        assert last != "low_rank" or torch.linalg.matrix_rank(found - layer.bias) <= 3
    action = torch.tensor([0, 10, 3, 3, 7])
    for found, whole in zip(heads.at(x, action, tokens), q, strict=True):
        torch.testing.assert_close(found, whole[torch.arange(5), action])
    assert torch.equal(heads.smallest(x, tokens), torch.stack(q).amin(0))


def test_tied_heads_ask_for_what_they_are_tied_to():
    with pytest.raises(ValueError, match="pass tokens"):
        Heads(1, 8, 16, 11, "tied")(torch.zeros(1, 8))


@pytest.mark.parametrize("last", SMALL)
def test_small_heads_start_where_they_are_told(last):
    model = make_model(q_head=last, q_rank=4, zero_init=True, bias_init=-2.5)
    start = ValueLM.around(make_lm(), q_head=last, q_rank=4, zero_init=True, bias_init=-2.5)
    x = start.values(collate(episodes((20, 20)), PAD, END))
    assert all((q == -2.5).all() for q in (*x.q, x.target_q))
    x = model.values(collate(episodes((20, 20)), PAD, END))
    sum(q.square().sum() for q in x.q).backward()
    last_layers = [layer.project if last == "tied" else layer for layer in model.q.out]
    assert all(layer.weight.grad.any() for layer in last_layers)  # and can leave from there


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trunks", TRUNKS)
@pytest.mark.parametrize("last", SMALL)
@torch.no_grad()
def test_small_heads_improve_the_policy_and_survive_a_disk(last, trunks, architecture, tmp_path):
    model = make_model(trunks, architecture, q_head=last, q_rank=4, advantage_weight=3.0)
    ids, _ = left_padded((8, 8))
    _, value, target = states_of(model, ids)
    rows = model.lm.get_output_embeddings().weight
    assert rows.shape == (VOCABULARY, 32)
    q = torch.stack(model.target_q(target, rows)).amin(0)
    expected = model.lm(ids).logits.log_softmax(-1) + 3.0 * (q - model.v(value)[0])
    torch.testing.assert_close(model(ids).logits, expected, atol=1e-4, rtol=1e-5)
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, model(ids).logits)


def test_values_never_change_what_they_are_tied_to():
    model = make_model("separate", q_head="tied").train()
    x = model.values(collate(episodes(), PAD, END))
    sum(q.square().sum() for q in x.q).backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"q", "value_trunk"}


@pytest.mark.parametrize("last", SMALL)
def test_the_targets_of_small_heads_follow(last):
    model = make_model(q_head=last, q_rank=4)
    before = [p.clone() for p in model.target_q.parameters()]
    model.update_targets(0.25)
    for target, old, online in zip(model.target_q.parameters(), before, model.q.parameters(), strict=True):
        torch.testing.assert_close(target, 0.75 * old + 0.25 * online)
        assert not target.requires_grad
    assert len(before) == len(list(model.q.parameters())) > 0


@pytest.mark.parametrize(
    ("wrong", "words"), [({"q_head": "wide"}, "q_head is 'full'"), ({"q_rank": 0}, "q_rank must be at least 1")]
)
def test_heads_that_do_not_exist_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        make_model(**wrong)


def test_values_of_utterances_are_no_values_of_tokens():
    model = make_model(q_head="utterance", advantage_weight=0.0)
    assert [layer.out_features for layer in model.q.out] == [1, 1]
    ids, _ = left_padded((5, 5))
    torch.testing.assert_close(model(ids).logits, model.lm(ids).logits.log_softmax(-1))
    with pytest.raises(ValueError, match="no values of tokens: its q_head is 'utterance'"):
        model.values(collate(episodes(), PAD, END))
    model.config.advantage_weight = 1.0
    with pytest.raises(ValueError, match="set advantage_weight to 0"):
        model(ids)


@pytest.mark.parametrize("trunks", TRUNKS)
@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("last", ["full", "tied"])
def test_what_is_backed_up_is_read_from_the_targets_at_every_state(last, trunks, padding):
    model = make_model(trunks, q_head=last)
    batch = collate([*episodes(), no_actions()] if padding else episodes((20, 20)), PAD, END)
    x = model.values(batch, state_value=lambda q, logits: (q * logits.softmax(-1)).sum(-1) + q.amax(-1))
    usual = model.values(batch)
    assert usual.backed_up is None and not (x.backed_up.requires_grad or x.v_next.requires_grad)
    for name in ("target_q", "v", "nll"):
        torch.testing.assert_close(getattr(x, name), getattr(usual, name), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        policy, _, target = states_of(model, batch.input_ids)
        rows = model.get_output_embeddings()
        q = model.target_q.smallest(target, rows.weight)  # [B, T, V]
        of_state = (q * rows(policy).softmax(-1)).sum(-1, keepdim=True) + q.amax(-1, keepdim=True)  # [B, T, 1]
    close = {"atol": 1e-4, "rtol": 1e-4}
    for found, at in ((x.backed_up, batch.state), (x.v_next, batch.next_state)):
        torch.testing.assert_close(found, of_state.flatten()[batch.places(at)], **close)


@pytest.mark.parametrize("last", ["full", *SMALL])
@pytest.mark.parametrize("few", [{"lm_top_k": 3}, {"lm_top_p": 0.05}, {"lm_top_p": 0.9}])
@pytest.mark.parametrize("rows", [1, 5, 20])
@torch.no_grad()
def test_values_of_the_tokens_that_are_possible_are_those_of_all(last, few, rows):
    model = make_model("separate", q_head=last, q_rank=4, advantage_weight=3.0, **few)
    states = torch.randn(3, rows, 32, generator=torch.Generator().manual_seed(0))
    logits = model.get_output_embeddings()(states[0])
    possible = shape_scores(logits, 1.0, few.get("lm_top_k", 0), few.get("lm_top_p", 1.0)).log_softmax(-1)
    q = model.target_q.smallest(states[2], model.get_output_embeddings().weight)
    for clip in (None, 0.1):
        model.config.advantage_clip = clip
        gain = 3.0 * (q - model.v(states[1])[0])
        expected = possible + (gain if clip is None else gain.clamp(max=clip))
        torch.testing.assert_close(model.scores(*states), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 5])
@torch.no_grad()
def test_tied_heads_share_a_product_with_the_language_model(rows):
    model = make_model(q_head="tied", advantage_weight=3.0)
    h = torch.randn(rows, 32, generator=torch.Generator().manual_seed(0))
    head = model.get_output_embeddings()
    together = model.scores(h, None, h)
    torch.testing.assert_close(
        together, head(h).log_softmax(-1) + 3.0 * model.target_q.smallest(h, head.weight), atol=1e-4, rtol=1e-4
    )
    silence(model, np.array([2]))  # scores that a hook changes are made by the head itself
    silent, *heard = model.scores(h, None, h).softmax(-1).mean(0)[[2, 3, 4]]
    assert silent == 0 and all(p > 0 for p in heard)


def test_a_large_vocabulary_has_small_heads_unless_asked_otherwise(monkeypatch):
    assert make_model().config.q_head == "full"
    monkeypatch.setattr(value_lm, "LARGE_VOCABULARY", VOCABULARY - 1)
    assert make_model(q_rank=4).config.q_head == "low_rank"
    assert make_model(q_head="full").config.q_head == "full"
