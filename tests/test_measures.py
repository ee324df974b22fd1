"""The benchmark's measures besides returns, on hand-made episodes."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_agent import END, SAY, TOKENIZER, make_env, make_lm

from agents import AGENTS, LM
from agents.benchmark.measures import MEASURES, Played, measure, self_bleu
from agents.benchmark.running import evaluate
from datasets_builders import EpisodeDataset, build
from lang_envs import Episode, Episodes, rollout
from lang_envs.make import language_vec
from lang_envs.policies.dialogue import HumanReply
from lang_envs.utterances import spell

NAN = math.nan


def episode(*turns, logprobs=None, **info):
    """What an agent said, turn by turn, each ended, with a token of the environment between them."""
    tokens, said = [SAY], [False]
    for turn in turns:
        tokens += [*TOKENIZER.convert_tokens_to_ids([*turn]), END, SAY]
        said += [True] * (len(turn) + 1) + [False]
    tokens, said = tokens[:-1], np.array(said[:-1])
    known = None
    if logprobs is not None:
        known = np.where(said, 0.0, NAN).astype(np.float32)
        known[said] = logprobs
    return Episode(np.array(tokens, np.int32), said, np.zeros(len(tokens), np.float32), True, logprobs=known, info=info)


def played(*episodes, reference=None):
    return Played(make_env(), Episodes.from_list(list(episodes)), reference)


def test_off_policy_estimates_without_a_warning_alone(tmp_path):
    """The policy that played the log is paid what it was paid there; of one that went far away nothing is said."""
    env = language_vec("MovieReview-v0", 4)
    near, far = (AGENTS["bc"](LM.from_scratch("d64-l2", env, seed=seed)) for seed in (0, 1))
    played_by = [
        dataclasses.replace(e, logprobs=None) for e in build("movie-review", 60, tmp_path / "logs", progress=False)
    ]
    logs = EpisodeDataset.from_episodes(played_by, tokenizer=env.tokenizer)

    def estimated(policy):
        return measure(["off_policy"], Played(env, Episodes.from_list([]), near, policy, logs))

    same = estimated(near.policy(greedy=True))
    assert same["effective"] == pytest.approx(60)
    assert same["weighted"] == pytest.approx(logs.returns.mean(), rel=1e-4)
    assert estimated(far.policy()).keys() == {"effective"}


def test_utterances_are_the_text_of_each_turn():
    assert played(episode("ab", "c"), episode("d")).utterances() == ["ab", "c", "d"]


def test_utterances_that_the_limit_ended_are_told_apart():
    cut = episode("abcdefg", "b")
    assert [range(*span.indices(len(cut))) for span in cut.utterances(END)] == [range(1, 9), range(10, 12)]
    assert [range(*span.indices(len(cut))) for span in cut.utterances(END, 3)] == [
        range(1, 4), range(4, 7), range(7, 9), range(10, 12),
    ]  # fmt: skip


def test_length_counts_the_end_token_and_turns():
    assert measure(["length"], played(episode("ab", "c"), episode("d"))) == {"length": 7 / 3, "turns": 1.5}


def test_diversity_of_words():
    found = MEASURES["diversity"](said(["a b a", "a b c", "a b a"], [0, 1, 2]))
    assert found["distinct_1"] == 3 / 9
    assert found["distinct_2"] == 3 / 6
    assert found["different"] == 2 / 3


class Spoken(Played):
    def utterances(self, rows=None):
        return [self.episodes.texts[i] for i in rows]


def said(texts, contexts):
    """Episodes of one utterance each, in contexts."""
    return Spoken(None, SimpleNamespace(texts=texts, info=[{"context": context} for context in contexts]))


def test_diversity_counts_a_context_once():
    once = MEASURES["diversity"](said(["a b", "c d"], [7, 3]))
    assert once == MEASURES["diversity"](said(["a b", "c d", "a b", "c d", "c d"], [7, 3, 7, 3, 3]))


def test_diversity_does_not_depend_on_how_many_episodes_there_are():
    rng = np.random.default_rng(0)
    texts = [f"is it {x}" for x in rng.integers(400, size=4000)]
    few, many = (MEASURES["diversity"](said(texts[:n], range(n)))["different"] for n in (200, 4000))
    assert few == pytest.approx(many, abs=0.1)


def test_self_bleu_is_one_where_all_are_alike_and_low_where_none_is():
    assert self_bleu(["the cat sat on the mat"] * 3) == pytest.approx(1.0)
    assert self_bleu(["one two three four", "five six seven eight"]) == 0
    assert math.isnan(self_bleu(["alone"]))


def test_divergence_is_what_a_loop_finds():
    agent = AGENTS["bc"](make_lm())
    some = [episode("ab", "c", logprobs=[-0.1, -0.2, -0.3, -0.4, -0.5]), episode("d", logprobs=[-1.0, -2.0])]
    own, theirs, n = 0.0, 0.0, 0
    for e in some:
        with torch.no_grad():
            logp = agent.model(torch.tensor(e.tokens[None]).long()).logits[0].log_softmax(-1).numpy()
        for t in np.flatnonzero(e.is_action):
            own, theirs, n = own + e.logprobs[t], theirs + logp[t - 1, e.tokens[t]], n + 1
    found = measure(["divergence"], played(*some, reference=agent))
    assert found["kl"] == pytest.approx((own - theirs) / n, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(-theirs / n), rel=1e-5)


def test_divergence_needs_a_reference_and_known_log_probabilities():
    agent = AGENTS["bc"](make_lm())
    assert measure(["divergence"], played(episode("ab"))) == {}
    assert measure(["divergence"], played(episode("ab"), reference=agent)).keys() == {"perplexity"}


def test_an_agent_is_no_distance_from_itself():
    agent = AGENTS["bc"](make_lm())
    env = make_env()
    own = Episodes.from_list(list(rollout(env, agent.policy(), range(40))))
    assert measure(["divergence"], Played(env, own, agent))["kl"] == pytest.approx(0, abs=1e-5)


def test_facts_are_means_of_what_the_task_says():
    some = played(episode("a", asked=2, right=True, name="x", seed=4), episode("b", asked=1, right=False, seed=5))
    assert measure(["facts"], some) == {"asked": 1.5, "right": 0.5}


def test_an_episode_that_was_cut_before_the_first_reply_is_left_out_and_counted():
    cut, facts = episode("a", seed=0), {"asked": 2, "valid": True, "context": 3}
    found = played(cut, episode("b", seed=1, **facts), episode("c", seed=2, **facts | {"valid": False}), cut)
    assert measure(["facts"], found) == {"asked": 2.0, "valid": 0.5, "left_out": 0.5}
    assert measure(["facts"], played(cut, cut)) == {}
    for name in ("length", "diversity"):
        assert "left_out" not in measure([name], found)


def test_a_reply_that_was_cut_is_like_no_human_s():
    env = language_vec("Dialogue-BLEU-v0", 2)
    whole = [*rollout(env, HumanReply(env.task, env.tokenizer), range(2))]
    cut = dataclasses.replace(whole[0], info={"seed": 5}, terminated=False, truncated=True)
    found = measure(["similarity"], Played(env, Episodes.from_list([cut, *whole])))
    assert found["chrf"] == pytest.approx(1.0) and found["left_out"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"each of 1 episodes was cut at \d+ tokens: raise max_tokens"):
        measure(["similarity"], Played(env, Episodes.from_list([cut])))


def test_the_share_that_succeeds_is_of_all_episodes_however_the_first_ended():
    found = played(episode("a", seed=0), episode("b", seed=1, success=True))
    assert evaluate.metrics(found.episodes)["success"] == 0.5


def test_human_replies_are_like_themselves():
    env = language_vec("Dialogue-chrF-v0", 4)
    own = Episodes.from_list(list(rollout(env, HumanReply(env.task), range(4))))
    found = measure(["similarity"], Played(env, own))
    assert found.keys() == {"bertscore", "bertclick", "bleu", "chrf", "meteor"}
    assert min(found.values()) > 0.9
    other = [spell(env.tokenizer, "zebra", 8), spell(env.tokenizer, "quartz", 8)]
    wrong = [
        Episode(
            np.concatenate([e.tokens[~e.is_action], said]),
            np.arange((~e.is_action).sum() + len(said)) >= (~e.is_action).sum(),
            np.zeros((~e.is_action).sum() + len(said), np.float32),
            True,
            info=e.info,
        )
        for e, said in zip(own, other, strict=False)
    ]
    assert measure(["similarity"], Played(env, Episodes.from_list(wrong)))["chrf"] < 0.2


def test_what_cannot_be_measured_says_so():
    with pytest.raises(ValueError, match="no measure 'charm'; choose among similarity"):
        measure(["charm"], played(episode("a")))
    with pytest.raises(ValueError, match="needs the human replies of Dialogue, and Guess has none"):
        measure(["similarity"], played(episode("a")))
