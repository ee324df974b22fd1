"""The Decision Transformer: the places of its return tokens, its loss against a plain loop, its words for a return."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors import safe_open
from test_layouts import make_layout
from tiny_models import make_env as tiny_env
from tiny_models import make_lm as tiny_lm
from toy_agent import END, PAD, SAY, TOKENIZER, make_env, make_episodes, make_lm, same_weights, weights
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from agents import LM, Agent, DecisionTransformer, DecisionTransformerConfig, Live, Logged, Mixed, collate
from agents.data import return_tokens as return_tokens_module
from agents.data.return_tokens import insert
from agents.models.extended_embedding import ExtendedEmbedding
from agents.models.lora import LoRAConfig
from lang_envs import Episode, rollout
from lang_envs.tasks.movie_review import REVIEWS, MovieReview
from lang_envs.tokenizers import text_tokenizer

FIRST = len(TOKENIZER)
FIT: dict[str, Any] = {"lr": 1e-2, "batch_size": 8, "progress": False}


def episode(tokens: list[int], said: list[int], rewards: list[float]) -> Episode:
    return Episode(np.array(tokens, np.int32), np.array(said, bool), np.array(rewards, np.float32), True)


# Two utterances with a reply between them; two on end, the second cut before its end token; nothing said at all; one
# cut at the limit of 3 tokens, after which the environment kept silent, and another.
TWO = episode([SAY, 3, END, 4, 5, END], [0, 1, 1, 0, 1, 1], [0, 0, 0.5, 0, 0, 1.0])
ON_END = episode([SAY, SAY, 7, END, 2, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0.25, 0, -1.0])
SILENT = episode([SAY, 4], [0, 0], [0, 0])
CUT = episode([SAY, 1, 2, 3, 4, END], [0, 1, 1, 1, 1, 1], [0, 0, 0, -0.25, 0, 0])
EPISODES = [TWO, ON_END, SILENT, CUT]


def made(seed: int = 0, lm: LM | None = None, **config: Any) -> DecisionTransformer:
    return DecisionTransformer(lm or make_lm(), DecisionTransformerConfig(**config), seed)


def batch_of(episodes: Any) -> Any:
    return collate(episodes, PAD, END, limit=3)


def plainly(e: Episode, edges: list[float], to_go: bool = False) -> tuple[list[int], list[int]]:
    """An episode with its tokens put in, and the places of the states its actions are chosen in."""
    tokens: list[int] = []
    states: list[int] = []
    length = 0  # of the utterance so far
    for t, token in enumerate(e.tokens.tolist()):
        if not e.is_action[t] or e.tokens[t - 1] == END or length == 3:
            length = 0
        if e.is_action[t] and length == 0:
            told = e.rewards[t:].sum() if to_go else e.rewards.sum()
            tokens.append(FIRST + sum(told >= edge for edge in edges))
        if e.is_action[t]:
            states.append(len(tokens) - 1)
            length += 1
        tokens.append(token)
    return tokens, states


@pytest.mark.parametrize("returns", ["episode", "to_go"])
def test_a_token_stands_before_each_turn_and_nowhere_else(returns: Any) -> None:
    agent = made(edges=(-0.5, 0.0, 1.2), returns=returns)
    episodes = [*EPISODES, *make_episodes(20)]
    batch, told = batch_of(episodes), agent.conditioned(batch_of(episodes))
    for b, e in enumerate(episodes):
        tokens, states = plainly(e, [-0.5, 0.0, 1.2], returns == "to_go")
        n, last = len(states), len(tokens) - 1
        assert told.input_ids[b, : len(tokens)].tolist() == tokens
        assert (told.input_ids[b, len(tokens) :] == PAD).all()
        assert told.attention_mask[b].sum() == len(tokens) and told.attention_mask[b, : len(tokens)].all()
        assert told.state[b, :n].tolist() == states and not told.state[b, n:].any()
        assert told.next_state[b, :n].tolist() == ([*states[1:], last] if n else [])
        assert (told.input_ids[b] >= FIRST).sum() == len(set(batch.turn[b, :n].tolist()))
    for unchanged in ("action", "reward", "mask", "turn"):
        assert torch.equal(getattr(told, unchanged), getattr(batch, unchanged))
    assert plainly(TWO, [-0.5, 0.0, 1.2])[0] == [SAY, FIRST + 3, 3, END, 4, FIRST + 3, 5, END]


def test_nothing_put_in_is_the_same_batch() -> None:
    batch = batch_of(EPISODES)
    same = insert(batch, torch.full_like(batch.input_ids, -1), PAD)
    assert all(torch.equal(getattr(same, name), x) for name, x in vars(batch).items())


def logp_of(model: Any, tokens: list[int], states: list[int], actions: Any) -> np.ndarray:
    """log pi of actions among the environment's tokens, in a forward pass of its own."""
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, states, :FIRST]
    return logits.log_softmax(-1)[range(len(states)), torch.from_numpy(actions.astype(np.int64))].numpy()


def test_the_loss_is_cloning_given_the_tokens() -> None:
    agent = made(edges=(0.0, 1.2))
    loss, parts = agent.loss(batch_of(EPISODES))
    terms = np.concatenate(
        [logp_of(agent.model, *plainly(e, [0.0, 1.2]), e.tokens[e.is_action]) for e in EPISODES if e.num_actions]
    )
    assert loss.item() == parts["loss/bc"].item() == pytest.approx(-terms.mean(), rel=1e-5)
    assert parts["policy/best"].item() == pytest.approx(4 / 13)  # TWO returned 1.5
    loss.backward()
    moved = agent.model.get_input_embeddings().weight.grad.abs().sum(1) > 0
    assert moved[FIRST:].tolist() == [True, False, True]  # no episode was in the middle bin, no token is ever a target


def test_a_prefix_is_w_times_the_return_plus_b() -> None:
    agent = made(form="prefix")
    rows = agent.model.get_input_embeddings().weight
    loss, _ = agent.loss(batch_of(EPISODES))
    terms = []
    for e in (TWO, ON_END, CUT):
        x = torch.cat([(rows[FIRST] * e.ret + rows[FIRST + 1])[None], rows[torch.from_numpy(e.tokens).long()]])
        logp = agent.model(inputs_embeds=x[None]).logits[0, :, :FIRST].log_softmax(-1)
        terms += [logp[t, e.tokens[t]].item() for t in range(len(e)) if e.is_action[t]]
    assert loss.item() == pytest.approx(-np.mean(terms), rel=1e-5)
    loss.backward()
    assert (rows.grad[FIRST:].abs().sum(1) > 0).all()


@pytest.mark.parametrize(
    ("bins", "expected"), [(10, [0.5, 1.5, 3.0, 5.0]), (5, [0.5, 1.5, 3.0, 5.0]), (2, [1.5]), (3, [0.5, 3.0])]
)
def test_bins_are_quantiles_of_the_distinct_returns(bins: int, expected: list[float]) -> None:
    log = [episode([SAY, 3, END], [0, 1, 1], [0, 0, ret]) for ret in (6, 0, 1, 2, 2, 2, 2, 4, 0)]
    agent = made(bins=bins)
    assert agent.prepare(source := Logged(log)) is source
    assert agent.edges == expected
    assert agent.token_of(6) == agent.token_of() == agent.token_of(99) == FIRST + len(expected)
    assert agent.token_of(-99) == agent.token_of(0) == FIRST
    agent.prepare(Logged(log[:2]))
    assert agent.edges == expected  # tokens keep the meaning they were learned with


def test_other_bins_than_the_learned_ones_are_refused() -> None:
    agent = made(edges=(0.5,))
    config = type(agent.config)
    assert type(agent)(agent.lm, config(edges=(0.5,))).edges == [0.5]
    with pytest.raises(ValueError, match=r"has learned the bins \[0.5\], and edges=\[-0.3\] are others"):
        type(agent)(agent.lm, config(edges=(-0.3,)))


def test_bins_of_what_is_to_come_are_of_all_turns() -> None:
    agent = made(returns="to_go")
    agent.prepare(Logged([TWO, ON_END]))
    assert agent.edges == pytest.approx([-0.875, 0.125, 1.25])  # between -1, -0.75, 1 and 1.5


@pytest.mark.parametrize("form", ["tokens", "prefix"])
def test_without_a_log_what_is_told_must_be_given(form: Any) -> None:
    with pytest.raises(ValueError, match="found in a log, but the source is Live"):
        made(form=form).learn(Live(make_env()), 1, **FIT)
    with pytest.raises(ValueError, match=r"no(t known| log)"):
        made(form=form).policy()
    given: Any = {"edges": (-0.5,)} if form == "tokens" else {"target": 1.0}
    assert made(form=form, **given).learn(Live(make_env()), 1, **FIT).step == 1
    mixed = made(form=form).learn(Mixed(Logged(make_episodes(9)), Live(make_env())), 2, **FIT)
    logged = made(form=form).learn(Logged(make_episodes(9)), 1, **FIT)
    for fact in ("return_edges", "best_return"):
        assert getattr(mixed.model.config, fact) == getattr(logged.model.config, fact)


class Spy:
    """Says what another policy says, and keeps what it read."""

    def __init__(self, speaker: Any) -> None:
        self.speaker, self.read = speaker, []

    def act(self, histories: Any, rngs: Any) -> Any:
        self.read.append([history.tolist() for history in histories])
        return self.speaker.act(histories, rngs)


def test_what_is_read_while_playing_is_what_is_learned_from() -> None:
    agent = made(edges=(-1.0, -0.5))
    policy: Any = agent.policy(target=-0.7)
    policy.speaker = spy = Spy(policy.speaker)
    played = list(rollout(make_env(), policy, range(12)))
    read = {tuple(t for t in h if t < FIRST): h for call in spy.read for h in call}
    turns = []
    for e in played:
        ids = agent.conditioned(batch_of([e])).input_ids[0].tolist()
        told = [agent.token_of(-0.7) if t >= FIRST else t for t in ids]
        turns.append(told.count(FIRST + 1))
        up_to = len(told) - told[::-1].index(FIRST + 1)  # where its last utterance begins
        assert read[tuple(t for t in told[:up_to] if t < FIRST)] == told[:up_to]
    assert max(turns) >= 3


def histories(n: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 9, rng.integers(1, 6)).astype(np.int32) for _ in range(n)]


def generators(n: int = 6) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(n)]


@pytest.mark.parametrize("form", ["tokens", "prefix"])
def test_the_past_is_kept_and_changes_nothing(form: Any) -> None:
    agent = made(form=form, **({"edges": (0.0,)} if form == "tokens" else {"target": 2.0}))
    keeping, forgetting = agent.policy(), agent.policy()
    said, rngs = histories(), [generators(), generators()]
    for _ in range(3):
        turns, expected = keeping.act(said, rngs[0]), forgetting.act(said, rngs[1])
        assert [t.tokens.tolist() for t in turns] == [t.tokens.tolist() for t in expected]
        for a, b in zip(turns, expected, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
        forgetting.speaker.reset()  # type: ignore[attr-defined]  # keys and values, not what it knows of its turns
        said = [np.concatenate([h, t.tokens, [1, 2]]).astype(np.int32) for h, t in zip(said, turns, strict=True)]
        order = np.random.default_rng(5).permutation(len(said))
        said, rngs = [said[i] for i in order], [[each[i] for i in order] for each in rngs]


def test_log_probabilities_are_exact_and_no_return_is_ever_said() -> None:
    agent = made(edges=(0.0,))
    with torch.no_grad():
        agent.model.get_output_embeddings().weight[FIRST:] *= 100  # they would be said if they could
    rng_of, policy = generators(), agent.policy(target=-1.0)
    for history, turn in zip(histories(), policy.act(histories(), rng_of), strict=True):
        prompt = [*history.tolist(), FIRST]
        states = list(range(len(prompt) - 1, len(prompt) - 1 + len(turn.tokens)))
        expected = logp_of(agent.model, [*prompt, *turn.tokens.tolist()], states, turn.tokens)
        np.testing.assert_allclose(turn.logprobs, expected, atol=1e-4)
        assert (turn.tokens < FIRST).all()


def test_targets_do_not_get_in_each_others_way() -> None:
    agent = made(form="prefix", target=0.0)
    with torch.no_grad():
        agent.model.get_input_embeddings().weight[FIRST:] *= 50
    high, low = agent.policy(target=3.0), agent.policy(target=-3.0)
    first, other = (policy.act(histories(), generators()) for policy in (high, low))
    assert not any(np.allclose(a.logprobs, b.logprobs, atol=1e-4) for a, b in zip(first, other, strict=True))
    rows = agent.model.get_input_embeddings().weight
    for policy, target in ((high, 3.0), (low, -3.0), (high, 3.0)):
        for history, turn in zip(histories(), policy.act(histories(), generators()), strict=True):
            ids = torch.from_numpy(np.concatenate([history, turn.tokens])).long()
            x = torch.cat([(rows[FIRST] * target + rows[FIRST + 1])[None], rows[ids]])
            with torch.no_grad():
                logp = agent.model(inputs_embeds=x[None]).logits[0, len(history) :, :FIRST].log_softmax(-1)
            expected = logp[range(len(turn.tokens)), torch.from_numpy(turn.tokens).long()]
            np.testing.assert_allclose(turn.logprobs, expected.numpy(), atol=1e-4)
        agent.learn(Logged(make_episodes(8)), 1, **FIT)  # policies play with the weights as they are then


def test_only_so_many_turns_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(return_tokens_module, "REMEMBERED", 4)
    policy: Any = made(edges=(0.0,)).policy()
    for many in (6, 3, 2):
        policy.act(histories(many), generators(many))
    assert len(policy._known) == 4


def test_turns_in_the_observation_are_the_best() -> None:
    tokenizer = text_tokenizer()
    n, end = len(tokenizer), tokenizer.eos_token_id
    config = GPT2Config(vocab_size=n, n_embd=8, n_layer=1, n_head=1, n_positions=64, eos_token_id=end)
    agent = DecisionTransformer(LM(GPT2LMHeadModel(config), tokenizer, 8), DecisionTransformerConfig(edges=(1.0,)))
    heard = tokenizer("<|agent|>hello<|end|><|user|>hm<|agent|>", add_special_tokens=False).input_ids
    answer = tokenizer("<|agent|>ok<|end|>", add_special_tokens=False).input_ids  # the agent may say the marker itself
    tokens, said = [*heard, *answer], [False] * len(heard) + [True] * len(answer)
    told = agent.conditioned(collate([episode(tokens, said, [0.0] * len(tokens))], 0, end))
    at = heard.index(heard[0], 1)
    expected = [heard[0], n + 1, *heard[1 : at + 1], n, *answer]
    assert told.input_ids[0].tolist() == expected
    policy: Any = agent.policy(target=0.0)
    [prompt] = policy.prompted([np.array(heard, np.int32)])
    assert prompt.tolist() == expected[: -len(answer)]


def test_an_episode_as_long_as_the_model_reads_has_room() -> None:
    agent = made(edges=(0.0,))  # 32 positions
    tokens = [SAY, *[3, END] * 15, 2]
    full = episode(tokens, [0, *[1] * 31], [0.0] * 32)
    assert agent.conditioned(batch_of([full])).input_ids.shape == (1, 48)
    assert torch.isfinite(agent.loss(batch_of([full]))[0])
    assert agent.policy().act([full.tokens], generators(1))[0].tokens.size


def test_a_model_that_reads_too_little_is_refused_in_words() -> None:
    env = tiny_env()
    lm = LM(tiny_lm("llama"), env.tokenizer, 7)
    agent = DecisionTransformer(lm, DecisionTransformerConfig(edges=(0.0,)))
    end = lm.end_id
    short, long = ([1, *[3, end] * k] for k in (3, 23))
    for tokens in (short, long):
        batch = collate([episode(tokens, [0, *[1] * (len(tokens) - 1)], [0.0] * len(tokens))], lm.pad_id, end)
        if tokens is short:
            assert torch.isfinite(agent.loss(batch)[0])
        else:
            with pytest.raises(ValueError, match="has 70 tokens, and the model reads 48"):
                agent.loss(batch)


@pytest.mark.parametrize("form", ["tokens", "prefix"])
def test_a_saved_agent_knows_its_returns(form: Any, tmp_path: Path) -> None:
    agent = made(form=form).learn(Logged(make_episodes(16)), 2, **FIT)
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    assert isinstance(loaded, DecisionTransformer) and loaded.config == agent.config
    assert same_weights(weights(agent), weights(loaded))
    assert loaded.model.config.return_edges == agent.model.config.return_edges
    assert loaded.model.config.best_return == agent.model.config.best_return
    said, again = (a.policy().act(histories(), generators()) for a in (agent, loaded))
    assert [t.tokens.tolist() for t in said] == [t.tokens.tolist() for t in again]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "agent")
    assert model.generation_config.suppress_tokens == list(range(FIRST, model.config.vocab_size))
    plain = LM.from_pretrained(tmp_path / "agent", make_env())  # what returns need is left out where nobody asks for it
    assert plain.model.get_input_embeddings().num_embeddings == FIRST


@pytest.mark.parametrize("form", ["tokens", "prefix"])
def test_a_run_continues_bit_for_bit(form: Any, tmp_path: Path) -> None:
    def learned(steps: int, out: Path | None = None) -> dict[str, torch.Tensor]:
        source = Mixed(Logged(make_episodes(18), seed=1), Live(make_env(), seed=2))
        return weights(made(form=form).learn(source, steps, out=out, schedule_steps=6, **FIT))

    whole = learned(4)
    learned(2, tmp_path)
    assert same_weights(whole, learned(4, tmp_path))


def test_the_seed_draws_the_embeddings_and_leaves_the_generator_alone() -> None:
    state = torch.get_rng_state()
    rows = [made(seed).model.get_input_embeddings().weight for seed in (0, 0, 1)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    assert torch.equal(rows[0][:FIRST], make_lm().model.get_input_embeddings().weight)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"form": "suffix"}, "'tokens' or 'prefix'"),
        ({"returns": "mean"}, "'episode' or 'to_go'"),
        ({"bins": 1}, "one bin says nothing"),
        ({"edges": ()}, "at least one"),
        ({"edges": (1.0, 0.0)}, "that rise"),
        ({"form": "prefix", "edges": (1.0,)}, "without bins"),
    ],
)
def test_settings_that_cannot_be_meant(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DecisionTransformerConfig(**setting)


def test_a_model_of_another_vocabulary_is_refused() -> None:
    lm = made(edges=(0.0,)).lm
    with pytest.raises(ValueError, match=f"neither the environment's {FIRST} nor 10 more"):
        made(lm=lm)


TASK = MovieReview()


def written(tokens: tuple[int, ...], reward: float) -> Episode:
    opening = len(TASK.opening)
    said = [i >= opening for i in range(opening + len(tokens))]
    return episode([*TASK.opening, *tokens], said, [0.0] * (len(said) - 1) + [reward])


REVIEW_LOG = [
    written(tokens, review.reward)
    for tokens, review in zip(TASK.reviews, REVIEWS, strict=True)
    for _ in range(round(50 * review.share))
]


@pytest.mark.parametrize(("form", "steps"), [("tokens", 40), ("prefix", 80)])
def test_told_of_a_return_it_writes_the_review_that_earns_it(form: Any, steps: int) -> None:
    env: Any = gym.make_vec("MovieReview-v0", 1)
    agent = made(lm=LM.from_scratch("d64-l2", env, seed=0), form=form)
    agent.learn(Logged(REVIEW_LOG), steps, lr=5e-3, batch_size=50, warmup_steps=5, progress=False)

    def earned(target: float | None) -> float:
        (e,) = rollout(env, agent.policy(target=target, greedy=True), [0])
        return e.ret

    assert earned(None) == pytest.approx(1.0)
    assert [earned(review.reward) for review in REVIEWS] == pytest.approx([review.reward for review in REVIEWS])


@pytest.mark.parametrize("layout", ["gpt2", "llama"])
@pytest.mark.parametrize("form", ["tokens", "prefix"])
def test_under_adapters_only_rows_for_returns_are_learned(form: Any, layout: str, tmp_path: Path) -> None:
    lm = make_layout(layout, tmp_path / "lm", {"tie_word_embeddings": True}, lora=LoRAConfig(rank=2))
    before = lm.model.get_input_embeddings().weight.detach().clone()
    agent = made(form=form, lm=lm)
    fit: dict[str, Any] = FIT | {"weight_decay": 0.1, "schedule": "constant"}
    agent.learn(Logged(make_episodes(16)), 3, **fit)
    table, head = agent.model.get_input_embeddings(), agent.model.get_output_embeddings()
    assert torch.equal(table.table.weight, before) and head.weight is table.table.weight
    assert len(head.weight) == FIRST and table.num_embeddings == agent.model.config.vocab_size > FIRST
    trained = {name for name, p in agent.model.named_parameters() if p.requires_grad and "lora_" not in name}
    assert {name.rsplit(".", 1)[-1] for name in trained} == {"new"}
    folder = agent.save(tmp_path / "agent")
    with safe_open(folder / "adapters.safetensors", "pt") as file:
        assert {name for name in file.keys() if "lora_" not in name} == trained  # noqa: SIM118  # it is no dictionary
    loaded = Agent.load(folder)
    assert same_weights(weights(agent), weights(loaded))
    said, again = (a.policy(target=0.5).act(histories(), generators()) for a in (agent, loaded))
    assert [t.tokens.tolist() for t in said] == [t.tokens.tolist() for t in again]
    further = [weights(a.learn(Logged(make_episodes(16)), 1, **fit)) for a in (agent, loaded)]
    assert same_weights(*further)
    whole = Agent.load(agent.save(tmp_path / "whole", merge=True))
    said, again = (a.policy(target=0.5).act(histories(), generators()) for a in (agent, whole))
    assert [t.tokens.tolist() for t in said] == [t.tokens.tolist() for t in again]
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert torch.equal(plain.get_input_embeddings().weight, table.joined())


def test_a_row_behind_a_table_is_read_as_one_of_a_longer_table() -> None:
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    table = ExtendedEmbedding(torch.nn.Embedding.from_pretrained(rows[:5].clone()), rows[5:].clone())
    ids = torch.tensor([[0, 6, 4], [5, 5, 1]])
    assert torch.equal(table(ids), rows[ids]) and torch.equal(table.joined(), rows)
    table(ids).sum().backward()
    assert table.table.weight.grad is None and table.new.grad is not None
    assert table.new.grad.tolist() == [[2.0] * 3, [1.0] * 3]
