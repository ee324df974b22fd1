"""``LMPolicy``: the tokens of ``generate``, exact log-probabilities, independent rows, and its cache."""

import numpy as np
import pytest
import torch
from generating_policy import Generating
from tiny_models import ARCHITECTURES, CONTEXT, END, KINDS, PAD, TOKENIZER, VOCABULARY, make_lm, make_model
from torch.nn import functional as F
from transformers import MistralConfig, MistralForCausalLM

from agents import BC, LM, Logged
from agents.decoding.distribution import next_token_logprobs
from agents.decoding.policy import LMPolicy
from agents.decoding.sampling import draw, shape_scores
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.policies.wordle import RandomValid

LIMIT = 7
every_kind = pytest.mark.parametrize("kind", KINDS)
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def make_policy(model, **settings):
    return LMPolicy(model, TOKENIZER, END, LIMIT, **settings)


def histories(lengths=(9, 1, 4, 6, 6, 2), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 20, length).astype(np.int32) for length in lengths]


def generators(n):
    return [np.random.default_rng((5, i)) for i in range(n)]


def generated(model, history, **settings):
    ids = torch.from_numpy(history.astype(np.int64))[None]
    limits = {"max_new_tokens": LIMIT, "do_sample": False, "eos_token_id": END, "pad_token_id": PAD}
    return model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **limits, **settings)[
        0, len(history) :
    ].tolist()


def counting(policy):
    """Counts the tokens each call reads."""
    read, forward = [], policy._cache.forward

    def counted(tokens, at):
        read.append(tokens.size)
        return forward(tokens, at)

    policy._cache.forward = counted
    return read


@every_architecture
@pytest.mark.parametrize(("kind", "clip"), [*((kind, None) for kind in KINDS), ("shared", 0.0), ("separate", 0.0)])
def test_greedy_says_what_generate_says_turn_after_turn(kind, clip, architecture):
    settings = {} if kind == "plain" else {"advantage_clip": clip, "lm_temperature": 0.8, "lm_top_k": 9}
    model = make_model(kind, architecture, **settings)
    policy, rng, said = make_policy(model, greedy=True), np.random.default_rng(1), histories()
    for turn in range(4):  # rows end, move, and start anew between the turns, as they do in a rollout
        turns = policy.act(said, generators(len(said)))
        assert [t.tokens.tolist() for t in turns] == [generated(model, history) for history in said]
        assert all(t.tokens.dtype == np.int32 and (t.logprobs == 0).all() for t in turns)
        replies = [rng.integers(0, 20, rng.integers(0, 4)).astype(np.int32) for _ in said]
        said = [np.concatenate([h, t.tokens, r]) for h, t, r in zip(said, turns, replies, strict=True)]
        said = [said[i] for i in rng.permutation(len(said))]
        if turn == 1:
            said = [*said[2:], *histories((3,), seed=7)]


@every_kind
def test_repetition_is_punished_as_generate_punishes_it(kind):
    model, said = make_model(kind, "gpt2"), histories()
    for penalty in (1.6, 0.7):
        turns = make_policy(model, greedy=True, repetition_penalty=penalty).act(said, generators(len(said)))
        assert [t.tokens.tolist() for t in turns] == [generated(model, h, repetition_penalty=penalty) for h in said]
    plain = make_policy(model, greedy=True).act(said, generators(len(said)))
    assert [t.tokens.tolist() for t in turns] != [t.tokens.tolist() for t in plain]


@every_kind
def test_log_probabilities_with_a_penalty_are_those_read_off_whole_episodes(kind):
    model, [history] = make_model(kind, "gpt2"), histories((6,))
    policy = make_policy(model, temperature=0.9, top_p=0.9, repetition_penalty=1.4)
    [turn] = policy.act([history], generators(1))
    ids = torch.from_numpy(np.concatenate([history, turn.tokens]).astype(np.int64))[None]  # [1, T]
    at = torch.arange(len(history) - 1, ids.shape[1] - 1)
    expected = next_token_logprobs(policy, ids, at).gather(1, ids[0, len(history) :, None]).squeeze(1)
    np.testing.assert_allclose(turn.logprobs, expected, atol=2e-5)


@pytest.mark.parametrize("most", [1, 3, LIMIT, LIMIT + 4])
def test_an_utterance_has_as_many_tokens_as_are_asked_for_and_ends(most):
    model, said = make_model("plain", "gpt2"), histories()
    whole = make_policy(model).act(said, generators(len(said)))
    for turn, longer in zip(
        make_policy(model, max_new_tokens=most).act(said, generators(len(said))), whole, strict=True
    ):
        assert len(turn.tokens) <= most
        assert turn.tokens[-1] == END
        same = min(len(turn.tokens), len(longer.tokens)) - 1
        assert turn.tokens[:same].tolist() == longer.tokens[:same].tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty is a number above 0"),
        ({"repetition_penalty": "2"}, "repetition_penalty is a number above 0"),
        ({"max_new_tokens": 0}, "max_new_tokens is a number of tokens from 1 on"),
        ({"max_new_tokens": 2.0}, "max_new_tokens is a number of tokens from 1 on"),
    ],
)
def test_what_is_no_penalty_or_limit_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        make_policy(make_model("plain", "gpt2"), **settings)


@every_architecture
@every_kind
def test_log_probabilities_are_those_of_the_model_alone(kind, architecture):
    model = make_model(kind, architecture)
    policy = make_policy(model, temperature=0.9, top_k=12, top_p=0.9)
    for history, turn in zip(histories(), policy.act(histories(), generators(6)), strict=True):
        ids = torch.from_numpy(np.concatenate([history, turn.tokens]).astype(np.int64))[None]
        with torch.no_grad():
            scores = shape_scores(model(ids).logits[0, len(history) - 1 : -1], 0.9, 12, 0.9)
        expected = scores.log_softmax(-1).gather(1, ids[0, len(history) :, None]).squeeze(1)
        np.testing.assert_allclose(turn.logprobs, expected.numpy(), atol=2e-4)
        assert turn.logprobs.dtype == np.float32 and (turn.tokens[:-1] != END).all() and len(turn.tokens) <= LIMIT


@every_architecture
@every_kind
def test_a_row_does_not_depend_on_the_others(kind, architecture):
    model = make_model(kind, architecture)
    together = make_policy(model).act(histories(), generators(6))
    assert len({len(turn.tokens) for turn in together}) > 1  # some end before the others
    for history, rng, turn in zip(histories(), generators(6), together, strict=True):
        (alone,) = make_policy(model).act([history], [rng])
        assert alone.tokens.tolist() == turn.tokens.tolist()
        np.testing.assert_allclose(alone.logprobs, turn.logprobs, atol=1e-5)


@every_kind
def test_the_past_is_kept_and_changes_nothing(kind):
    model = make_model(kind)
    keeping, forgetting = make_policy(model), make_policy(model)
    rngs = [generators(6), generators(6)]
    said = histories()
    for turn in range(3):
        read = counting(keeping)
        turns, expected = keeping.act(said, rngs[0]), forgetting.act(said, rngs[1])
        assert [t.tokens.tolist() for t in turns] == [t.tokens.tolist() for t in expected]
        for a, b in zip(turns, expected, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
        assert turn == 0 or read[0] <= 6 * 3  # the last token said and the reply of two, for each row
        forgetting.reset()
        said = [np.concatenate([h, t.tokens, [1, 2]]).astype(np.int32) for h, t in zip(said, turns, strict=True)]


def test_new_weights_are_noticed():
    model = make_model()
    policy = make_policy(model, greedy=True)
    (turn,) = policy.act(histories((9,)), generators(1))
    history = np.concatenate([histories((9,))[0], turn.tokens, [1]]).astype(np.int32)
    optimizer = torch.optim.AdamW(model.lm.parameters(), lr=0.3, fused=True)
    model.lm(torch.from_numpy(history.astype(np.int64))[None]).logits.square().mean().backward()
    optimizer.step()
    assert policy.act([history], generators(1))[0].tokens.tolist() == generated(model, history)
    model.config.advantage_weight = 0.0
    assert policy.act([history], generators(1))[0].tokens.tolist() == generated(model, history)


def test_a_policy_kept_while_its_agent_learns_reads_anew():
    env = language_vec("Wordle-v0", 4, words="english-30")
    agent = BC(LM.from_scratch("d64-l2", env))
    env.begin([0], [0])
    kept, opening = agent.policy(), env.history(0)
    (turn,) = kept.act([opening], generators(1))
    agent.learn(Logged(list(rollout(env, RandomValid(env.task), range(16)))), 5, batch_size=8, lr=0.01)
    history = np.concatenate([opening, turn.tokens, opening]).astype(np.int32)
    (a,), (b,) = kept.act([history], generators(1)), agent.policy().act([history], generators(1))
    assert a.tokens.tolist() == b.tokens.tolist()
    np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


@pytest.mark.parametrize("kind", ["shared", "separate"])
def test_the_advantage_can_be_set_for_a_policy(kind):
    model = make_model(kind, advantage_weight=4.0)

    def said(model, **settings):
        return [turn.tokens.tolist() for turn in make_policy(model, **settings).act(histories(), generators(6))]

    assert said(model, advantage_weight=0.0) == said(model.lm) != said(model)
    strong, clipped = said(model, advantage_weight=9.0), said(model, advantage_weight=9.0, advantage_clip=0.0)
    assert strong != clipped
    model.config.advantage_weight = 9.0
    assert said(model) == strong
    model.config.advantage_clip = 0.0
    assert said(model) == clipped
    for setting in ({"advantage_weight": 1.0}, {"advantage_clip": 0.0}, {"lm_top_p": 0.9}):
        with pytest.raises(ValueError, match="needs a ValueLM, not a GPT2LMHeadModel"):
            make_policy(model.lm, **setting)
    with pytest.raises(ValueError, match="top_p is a probability"):
        make_policy(model, lm_top_p=1.5)


@pytest.mark.parametrize("setting", [{"lm_temperature": 0.5}, {"lm_top_k": 2}, {"lm_top_p": 0.3}])
def test_the_language_models_own_distribution_can_be_set_for_a_policy(setting):
    model = make_model("shared", advantage_weight=2.0)

    def said(**settings):
        return [turn.tokens.tolist() for turn in make_policy(model, **settings).act(histories(), generators(6))]

    before, asked = said(), said(**setting)
    assert asked != before
    for name, value in setting.items():
        setattr(model.config, name, value)
    assert said() == asked


def test_a_training_model_stays_one():
    lm = make_lm()
    lm.transformer.drop.p = 0.5
    expected = make_policy(lm, greedy=True).act(histories(), generators(6))
    turns = make_policy(lm.train(), greedy=True).act(histories(), generators(6))
    assert [t.tokens.tolist() for t in turns] == [t.tokens.tolist() for t in expected]
    assert lm.training and lm.config._attn_implementation == "sdpa"


@every_architecture
def test_the_context_limits_what_is_said(architecture):
    model = make_model("shared", architecture, advantage_weight=0.0)
    with torch.no_grad():
        model.get_output_embeddings().weight[END] = 0
    long = histories((CONTEXT - 1, CONTEXT - 3, 5))
    lengths = [len(turn.tokens) for turn in make_policy(model, temperature=0.5).act(long, generators(3))]
    assert lengths[0] == 1 and lengths[1] <= 3 and lengths[2] <= LIMIT
    for wrong in (histories((CONTEXT,)), histories((0,))):
        with pytest.raises(ValueError, match=f"between 1 and {CONTEXT - 1} tokens"):
            make_policy(model).act(wrong, generators(1))
    assert make_policy(model).act([], []) == []


def test_an_utterance_draws_the_same_numbers_however_long_it_is():
    rngs, greedy = generators(6), generators(6)
    make_policy(make_lm()).act(histories(), rngs)
    make_policy(make_lm(), greedy=True).act(histories(), greedy)
    for used, unused, fresh in zip(rngs, greedy, generators(6), strict=True):
        assert unused.bit_generator.state == fresh.bit_generator.state
        fresh.random(LIMIT)
        assert used.bit_generator.state == fresh.bit_generator.state


def test_draws_have_the_frequencies_of_the_distribution():
    logp = torch.tensor([[0.0, 0.5, 0.2, 0.0, 0.3, 0.0]]).log()
    u = torch.from_numpy(np.random.default_rng(0).random(20_000))
    frequency = torch.bincount(draw(logp.expand(len(u), -1), u), minlength=6) / len(u)
    torch.testing.assert_close(frequency, logp.exp()[0], atol=0.012, rtol=0)
    assert (frequency[logp[0] == -torch.inf] == 0).all()
    edges = torch.tensor([0.0, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert draw(logp.expand(2, -1), edges).tolist() == [1, 4]


@pytest.mark.parametrize("vocabulary", [600, 1024])  # the last block is cut short, or whole
def test_draws_from_a_large_vocabulary_are_its_quantiles(vocabulary):
    rng = torch.Generator().manual_seed(0)
    logp = (
        torch.randn(500, vocabulary, generator=rng)
        .mul(3)
        .masked_fill(torch.rand(500, vocabulary, generator=rng) < 0.3, -torch.inf)
    )
    logp[:2, 256:512] = -torch.inf  # a block without any
    logp = logp.log_softmax(-1)
    u = torch.rand(500, generator=rng, dtype=torch.float64)
    u[:4] = torch.tensor([0.0, np.nextafter(1.0, 0.0)] * 2)
    cdf = logp.double().exp().cumsum(-1)
    expected = torch.searchsorted(cdf, u[:, None] * cdf[:, -1:], right=True).squeeze(1)
    token = draw(logp, u)
    assert (token == expected).float().mean() > 0.99  # but for draws between two tokens, by the rounding of sums
    assert ((token - expected).abs() < 256).all() and logp.gather(1, token[:, None]).isfinite().all()
    logp[3, 7] = torch.nan
    assert draw(logp, u)[3] == vocabulary


def test_shapes_of_a_distribution():
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    kept = [
        torch.isfinite(shape_scores(scores, 1.0, k, p))[0].tolist() for k, p in ((2, 1.0), (0, 0.6), (0, 0.7), (9, 1.0))
    ]
    assert kept == [[True, True, False, False], [True, False, False, False], [True, True, False, False], [True] * 4]
    torch.testing.assert_close(shape_scores(scores, 0.5).softmax(-1), F.softmax(2 * scores, -1))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("top_p", [0.001, 0.3, 0.9, 0.999])
def test_the_nucleus_is_that_of_sorted_tokens(top_p, ties):
    rng = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(2, 4, 500, generator=rng)
    scores[0, 0, :100] = -torch.inf
    if ties:
        scores = scores.round()
    ordered, index = scores.sort(dim=-1, descending=True, stable=True)
    p = ordered.softmax(-1)
    dropped = p.cumsum(-1) - p >= top_p
    expected = scores.masked_fill(dropped.scatter(-1, index, dropped), -torch.inf)
    assert torch.equal(shape_scores(scores, 1.0, 0, top_p), expected)
    assert not shape_scores(torch.full((2, 9), torch.nan), 1.0, 0, top_p).isneginf().any()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}),
        *({"temperature": "hot"}, {"top_k": 1.5}, {"top_p": "x"}, {"greedy": "no"}),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        make_policy(make_lm(), **wrong)


def test_sliding_windows_are_refused():
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    heads = {"num_key_value_heads": 2, "sliding_window": 8, "vocab_size": VOCABULARY}
    with pytest.raises(ValueError, match="Only the past of full attention"):
        make_policy(MistralForCausalLM(MistralConfig(**sizes, **heads)))


def test_whole_games_are_those_of_generate_reading_every_history_anew():
    env = language_vec("Wordle-v0", 6, words="english-30")
    lm = LM.from_scratch("d64-l2", env)
    logs = Logged(list(rollout(env, RandomValid(env.task), range(64))))
    agent = BC(lm).learn(logs, 40, lr=5e-3, batch_size=16)  # what it says must be words, and it reads the colours
    starts = range(10)  # more games than rows: rows begin anew beside others in mid-game
    kept = list(rollout(env, agent.policy(greedy=True), starts))
    again = list(rollout(env, Generating(agent.model, lm.end_id, lm.pad_id, lm.max_utterance_tokens), starts))
    assert [e.tokens.tolist() for e in kept] == [e.tokens.tolist() for e in again]
    assert len({len(e) for e in kept}) > 1 and len({e.tokens.tobytes() for e in kept}) > 5


def test_scores_that_are_no_numbers_are_refused():
    lm = make_lm()
    with torch.no_grad():
        lm.transformer.ln_f.weight.mul_(1e38).mul_(1e2)
    for greedy in (False, True):
        with pytest.raises(ValueError, match="scores of tokens are not finite"):
            make_policy(lm, greedy=greedy).act(histories(), generators(6))
