"""``ValueLM``: the improved policy, values at action positions, targets, padding, caches, saving."""

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, CONTEXT, END, PAD, VOCABULARY, library_warnings, make_lm, make_model
from transformers import AutoModelForCausalLM, StaticCache

from agents.data.batch import collate
from agents.models.value_lm import ValueLM, ValueLMConfig
from lang_envs.episode import Episode

TRUNKS = ("shared", "separate")


def left_padded(lengths=(9, 4, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 20, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths)) >= max(lengths) - torch.tensor(lengths)[:, None]
    return ids.masked_fill(~mask, PAD), mask.long()


def episodes(lengths=(20, 11, 14), seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i, length in enumerate(lengths):
        is_action = np.arange(length) % 5 >= 2  # two tokens of the environment, three of the agent
        rewards = np.where(is_action, rng.normal(size=length), 0).astype(np.float32)
        tokens = rng.integers(0, 20, length).astype(np.int32)
        made.append(Episode(tokens, is_action, rewards, terminated=i % 2 == 0, truncated=i % 2 == 1))
    return made


def no_actions(length=6):
    zeros = np.zeros(length, np.float32)
    return Episode(np.arange(length, dtype=np.int32), zeros > 0, zeros, terminated=False, truncated=True)


def states_of(model, ids):
    states = [trunk(input_ids=ids).last_hidden_state for trunk in model.trunks]
    return states * (3 // len(states))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trunks", TRUNKS)
@torch.no_grad()
def test_the_output_is_the_improved_policy(trunks, architecture):
    model = make_model(trunks, architecture, advantage_weight=3.0)
    ids, _ = left_padded((8, 8))
    _, value, target = states_of(model, ids)
    logp = model.lm(ids).logits.log_softmax(-1)
    q = torch.stack(model.target_q(target)).amin(0)
    expected = logp + 3.0 * (q - model.v(value)[0])
    torch.testing.assert_close(model(ids).logits, expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(model(ids, logits_to_keep=2).logits, expected[:, -2:], atol=1e-4, rtol=1e-5)
    model.config.advantage_clip = 0.0
    torch.testing.assert_close(model(ids).logits, logp + (expected - logp).clamp(max=0), atol=1e-4, rtol=1e-5)
    model.config.advantage_weight = 0.0
    torch.testing.assert_close(model(ids).logits, logp, atol=1e-4, rtol=1e-5)
    model.train()
    torch.testing.assert_close(model(ids).logits, model.lm(ids).logits)


@torch.no_grad()
def test_temperature_and_truncation_act_on_the_language_model_before_the_advantage():
    plain, shaped = (make_model(lm_temperature=t, lm_top_k=k, lm_top_p=p) for t, k, p in ((1, 0, 1.0), (0.7, 6, 0.9)))
    ids, _ = left_padded((8, 8))
    gain = plain(ids).logits - plain.lm(ids).logits.log_softmax(-1)
    logits = plain.lm(ids).logits / 0.7
    logits = logits.masked_fill(logits < logits.topk(6).values[..., -1:], -torch.inf)
    p, order = logits.softmax(-1).sort(descending=True)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, p.cumsum(-1) - p < 0.9)
    expected = logits.masked_fill(~kept, -torch.inf).log_softmax(-1) + gain
    torch.testing.assert_close(shaped(ids).logits, expected, atol=1e-4, rtol=1e-5)
    sampled = shaped.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, do_sample=True)
    for t in range(8, sampled.shape[1]):  # whatever the advantage, nothing outside the language model's support is said
        support = torch.isfinite(shaped(sampled[:, :t]).logits[:, -1])
        assert support.gather(1, sampled[:, t, None]).squeeze(1)[sampled[:, t] != PAD].all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trunks", TRUNKS)
@torch.no_grad()
def test_left_padded_rows_equal_single_rows(trunks, architecture):
    model = make_model(trunks, architecture)
    ids, mask = left_padded()
    said = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False)
    for row, real, out in zip(ids, mask, said, strict=True):
        alone = row[real > 0][None]
        ones = torch.ones_like(alone)
        single = model.generate(input_ids=alone, attention_mask=ones, max_new_tokens=12, do_sample=False)[0]
        single = single[alone.shape[1] :].tolist()
        assert out[len(row) :].tolist()[: len(single)] == single
        position = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(ids, attention_mask=mask, position_ids=position).logits
    alone = model(ids[1:2, mask[1] > 0]).logits
    torch.testing.assert_close(logits[1:2, mask[1] > 0], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trunks", TRUNKS)
@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_generating_with_a_cache_equals_generating_without(trunks, architecture, beams):
    model = make_model(trunks, architecture)
    ids, mask = left_padded()
    with_cache, without = (
        model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=12, num_beams=beams, do_sample=False, use_cache=cached
        )
        for cached in (True, False)
    )
    assert torch.equal(with_cache, without)


@torch.no_grad()
def test_three_trunks_refuse_a_cache_that_cannot_hold_them():
    model = make_model("separate")
    ids, _ = left_padded((5, 5))
    with pytest.raises(ValueError, match="DynamicCache, not in a StaticCache"):
        model(ids, past_key_values=StaticCache(config=model.config.lm, max_cache_len=20))
    foreign = make_lm()(ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="filled by another model"):
        model(ids, past_key_values=foreign)
    with pytest.raises(ValueError, match="pass input_ids, not inputs_embeds"):
        model(inputs_embeds=model.get_input_embeddings()(ids))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trunks", TRUNKS)
@torch.no_grad()
def test_a_saved_model_is_the_same_through_the_auto_class(trunks, architecture, tmp_path, caplog):
    model = make_model(trunks, architecture, lm_top_k=9, advantage_clip=1.0, num_q=1)
    with library_warnings(caplog):
        model.save_pretrained(tmp_path)
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert not caplog.records
    assert isinstance(loaded, ValueLM)
    assert (loaded.config.lm_top_k, loaded.config.advantage_clip, loaded.config.num_q) == (9, 1.0, 1)
    weights, reloaded = model.state_dict(), loaded.state_dict()
    assert weights.keys() == reloaded.keys() and all(torch.equal(weights[name], reloaded[name]) for name in weights)
    ids, mask = left_padded()  # on some processors the last bits of a product depend on where in memory weights lie
    torch.testing.assert_close(loaded(ids, attention_mask=mask).logits, model(ids, attention_mask=mask).logits)
    said = [m.generate(input_ids=ids, attention_mask=mask, max_new_tokens=9, do_sample=False) for m in (model, loaded)]
    assert torch.equal(*said)
    frozen = [[n for n, p in m.named_parameters() if not p.requires_grad] for m in (model, loaded)]
    assert frozen[0] == frozen[1] and all(name.startswith("target_") for name in frozen[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("trunks", TRUNKS)
@pytest.mark.parametrize("padding", [False, True])
@torch.no_grad()
def test_values_are_the_heads_at_the_actions(trunks, architecture, padding):
    model = make_model(trunks, architecture)
    logged = [*episodes(), no_actions()] if padding else episodes((20, 20))
    batch = collate(logged, PAD, END)
    x = model.values(batch)
    policy, value, target = states_of(model, batch.input_ids)
    q, v = model.q(value), model.v(value)[0].squeeze(-1)
    target_q, logits = torch.stack(model.target_q(target)).amin(0), model.get_output_embeddings()(policy)
    assert (batch.mask == 0).any() == padding
    real = batch.mask.nonzero().tolist()
    assert len(real) == len(x.v) == sum(episode.is_action.sum() for episode in logged)
    for k, (b, i) in enumerate(real):
        s, s_next, a = (int(field[b, i]) for field in (batch.state, batch.next_state, batch.action))
        close = {"atol": 1e-4, "rtol": 1e-4}
        torch.testing.assert_close(x.target_q[k], target_q[b, s, a], **close)
        torch.testing.assert_close(x.v[k], v[b, s], **close)
        torch.testing.assert_close(x.v_next[k], v[b, s_next], **close)
        torch.testing.assert_close(x.nll[k], -logits[b, s].log_softmax(-1)[a], **close)
        for got, surprise, expected in zip(x.q, x.cql, q, strict=True):
            torch.testing.assert_close(got[k], expected[b, s, a], **close)
            torch.testing.assert_close(surprise[k], -expected[b, s].log_softmax(-1)[a], **close)


@pytest.mark.parametrize("trunks", TRUNKS)
@torch.no_grad()
def test_values_do_not_depend_on_the_batch(trunks):
    model = make_model(trunks)
    together = model.values(collate(episodes(), PAD, END))
    alone = [model.values(collate([episode], PAD, END)) for episode in episodes()]
    for name in ("target_q", "v", "v_next", "nll"):
        one_by_one = torch.cat([getattr(x, name) for x in alone])  # [K]
        torch.testing.assert_close(getattr(together, name), one_by_one, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("trunks", TRUNKS)
def test_gradients_reach_what_is_trained_and_nothing_else(trunks):
    model = make_model(trunks).train()
    batch = collate(episodes(), PAD, END)

    def reached(loss):
        model.zero_grad(set_to_none=True)
        loss(model.values(batch)).backward()
        return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}

    trunk = "lm" if trunks == "shared" else "value_trunk"
    assert reached(lambda x: x.nll.sum()) == {"lm"}
    assert reached(lambda x: x.v.sum()) == {"v", trunk}
    assert reached(lambda x: sum(q.sum() for q in x.q)) == {"q", trunk}
    x = model.values(batch)
    assert not x.target_q.requires_grad and not x.v_next.requires_grad


@pytest.mark.parametrize("trunks", TRUNKS)
def test_targets_follow_at_their_rate(trunks):
    model = make_model(trunks)
    followed = {"target_q": "q", "target_trunk": "value_trunk"}
    weights = {name: p.clone() for name, p in model.named_parameters()}
    model.update_targets(0.25)
    moved = 0
    for name, p in model.named_parameters():
        first, rest = name.split(".", 1)
        expected = weights[name]
        if first in followed:
            expected = 0.75 * expected + 0.25 * weights[f"{followed[first]}.{rest}"]
            moved += 1
        torch.testing.assert_close(p, expected)
    assert moved == sum(not p.requires_grad for p in model.parameters()) > 0
    model.update_targets(1.0)
    assert all(torch.equal(a, b) for a, b in zip(model.target_q.parameters(), model.q.parameters(), strict=True))


def test_heads_start_where_they_are_told():
    batch = collate(episodes(), PAD, END)
    exact = ValueLM.around(make_lm(), zero_init=True, bias_init=-2.5).values(batch)
    for x in (exact.q[0], exact.q[1], exact.target_q, exact.v, exact.v_next):
        assert (x == -2.5).all()
    noisy = ValueLM.around(make_lm(), bias_init=-2.5).values(batch)
    assert (noisy.v != -2.5).all() and abs(noisy.v.mean() + 2.5) < 1


def test_heads_are_made_from_the_seed_alone_and_the_language_model_is_kept():
    lm = make_lm()
    weights, before = [p.clone() for p in lm.parameters()], torch.get_rng_state()
    a, b, c = (ValueLM.around(lm, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before) and a.lm is lm
    assert all(torch.equal(p, w) for p, w in zip(lm.parameters(), weights, strict=True))
    assert torch.equal(a.q.hidden.weight, b.q.hidden.weight) and not torch.equal(a.q.hidden.weight, c.q.hidden.weight)
    assert lm.config._attn_implementation == "sdpa"  # wrapping once lost it, and with it the fast attention
    assert a.q.out[0].out_features == VOCABULARY and a.config.get_text_config().max_position_embeddings == CONTEXT


@pytest.mark.parametrize(
    "wrong", [{"num_q": 3}, {"trunks": "two"}, {"lm_temperature": 0.0}, {"lm_top_k": -1}, {"lm_top_p": 1.5}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name.removeprefix("lm_")):
        ValueLMConfig(lm=make_lm().config, **wrong)
