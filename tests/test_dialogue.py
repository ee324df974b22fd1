"""The task Dialogue, its scripted policies and its recipes; other files test the models behind its rewards."""

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import build
from lang_envs import Start, TokenVectorEnv, rollout, scores
from lang_envs.chat_templates import MARKERS, PACKAGED
from lang_envs.corpora.files import CorpusError
from lang_envs.markup import markup_of
from lang_envs.policies.any_task import RandomTokens, Say
from lang_envs.policies.dialogue import HumanReply, NearestReply, Paraphrase, RandomReply
from lang_envs.speech import Speech
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tokenizers import character_tokenizer, decode, encode, text_tokenizer
from lang_envs.utterances import spell


def shared_words(candidates, references):
    """A cheap similarity: common words over all words."""
    pairs = [(set(c.lower().split()), set(r.lower().split())) for c, r in zip(candidates, references, strict=True)]
    return np.array([len(a & b) / max(1, len(a | b)) for a, b in pairs])


@pytest.fixture(scope="module")
def task():
    return Dialogue(shared_words, split="validation")


def returns(task, policy, episodes=200):
    return np.array([episode.ret for episode in rollout(TokenVectorEnv(task, 64), policy, range(episodes))])


def unlike_others(task):
    """Contexts that read like no other one."""
    openings = Speech(task, task.tokenizer()).openings([example.context for example in task.examples])
    last = [tuple(tokens) for tokens in openings]
    counts = {key: last.count(key) for key in set(last)}
    return [i for i, key in enumerate(last) if counts[key] == 1]


def test_the_agent_reads_what_was_said_and_is_paid_for_likeness(task):
    env = gym.make("Dialogue-BLEU-v0", reward=shared_words, split="validation", level="utterance")
    text, _ = env.reset(seed=0, options={"context": 2})
    example = task.examples[2]
    assert markup_of(task.tokenizer()).read(encode(task.tokenizer(), [text])[0]) == example.context
    _, reward, terminated, truncated, info = env.step(example.response)
    assert (reward, terminated, truncated, info) == (1.0, True, False, {"context": 2, "similarity": 1.0})
    env.reset(options={"context": 2})
    assert env.step("")[1] == 0.0


def test_long_contexts_keep_their_last_turns_and_long_replies_are_cut(task):
    short = Dialogue(shared_words, split="validation", max_context_tokens=30, max_response_tokens=4)
    late = [i for i, example in enumerate(short.examples) if len(example.context) > 4]
    context = max(late, key=lambda i: len(short.examples[i].response))
    [episode] = rollout(TokenVectorEnv(short, 1), HumanReply(short), [Start(0, context=context)])
    heard, said = episode.tokens[: episode.is_action.argmax()], episode.tokens[episode.is_action]
    assert len(heard) <= 30 and len(said) == 4
    assert episode.tokens.tolist() == [*heard, *said]
    read, [said] = markup_of(short.tokenizer()).read(heard), decode(short.tokenizer(), [said])
    whole = short.examples[context].context
    assert 0 < len(read) < len(whole) and read == whole[-len(read) :]
    assert short.examples[context].response.startswith(said) and episode.terminated


def test_all_replies_are_compared_in_one_call():
    calls = []

    def similarity(candidates, references):
        calls.append(len(candidates))
        return shared_words(candidates, references)

    task = Dialogue(similarity, split="test")
    list(rollout(TokenVectorEnv(task, 32), Say("Hello", task), range(32)))
    assert calls == [32]


def test_a_click_is_a_similarity_above_the_threshold():
    from lang_envs.rewards.bertscore import BERTClick

    click = BERTClick(shared_words, 0.5)
    task = Dialogue(click, split="test")
    right = task.examples[0].response
    replies = task.reply_batch([0, 0, 0], [right, " ".join(right.split()[:2]), "x"], [None] * 3)
    near = shared_words([" ".join(right.split()[:2])], [right])[0].round(3)
    assert [reply.reward for reply in replies] == [1.0, float(near > 0.5), 0.0]
    assert [reply.info["similarity"] for reply in replies] == [1.0, near, 0.0]


@pytest.mark.parametrize("wrong", [lambda c, r: 1.0, lambda c, r: [np.nan] * len(c), lambda c, r: [[1.0]] * len(c)])
def test_a_reward_that_is_no_number_for_each(wrong):
    with pytest.raises(ValueError, match="one finite number for each of 1 replies"):
        Dialogue(wrong).reply(0, "hi", None)


def test_options_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="max_context_tokens"):
        Dialogue(shared_words, max_context_tokens=0)
    with pytest.raises(ValueError, match="split must be one of"):
        Dialogue(shared_words, split="dev")
    with pytest.raises(ValueError, match=r"one of \['bertscore', 'bertclick', .*cannot load a model from bert_score"):
        Dialogue("bert_score")
    monkeypatch.delenv("LANG_ENVS_DATA", raising=False)
    with pytest.raises(CorpusError, match="LANG_ENVS_DATA"):
        Dialogue(shared_words, corpus="multiwoz")


def test_splits_share_no_dialogue():
    parts = [{example.turns for example in Dialogue(shared_words, split=s).examples} for s in ("train", "validation")]
    assert not parts[0] & parts[1]


def test_the_human_reply_is_found_again(task):
    unlike = unlike_others(task)[:150]
    assert len(unlike) == 150
    starts = [Start(i, context=i) for i in unlike]
    for policy in (HumanReply(task), NearestReply(task, logged=Dialogue(shared_words, split="test"))):
        episodes = list(rollout(TokenVectorEnv(task, 64), policy, starts))
        assert [episode.info["context"] for episode in episodes] == unlike
        for episode in episodes:
            expected = spell(task.tokenizer(), task.examples[episode.info["context"]].response, 32)
            if isinstance(policy, HumanReply):
                assert episode.tokens[episode.is_action].tolist() == expected.tolist()
        low = min(episode.ret for episode in episodes)
        assert low > 0.5 if isinstance(policy, HumanReply) else low < 0.2


def test_where_contexts_read_the_same_any_of_their_replies_is_said(task):
    first = [i for i, example in enumerate(task.examples) if not example.context]
    human, opening = HumanReply(task), np.array(encode(task.tokenizer(), ["<|agent|>"])[0])
    turns = human.act([opening] * 60, [np.random.default_rng(i) for i in range(60)])
    said = set(decode(task.tokenizer(), [turn.tokens[:-1] for turn in turns]))
    assert len(said) > 5 and said <= {task.examples[i].response for i in first}


def test_a_history_of_elsewhere_is_refused(task):
    history = np.array(encode(task.tokenizer(), ["<|user|>What is the capital of France?<|agent|>"])[0])
    with pytest.raises(ValueError, match="no context of the task"):
        HumanReply(task).act([history], [np.random.default_rng(0)])


def test_the_better_a_policy_knows_the_more_it_earns(task):
    policies = [RandomTokens(task), RandomReply(task), NearestReply(task), Paraphrase(task), HumanReply(task)]
    earned = [returns(task, policy).mean() for policy in policies]
    assert earned == sorted(earned)
    assert earned[0] < 0.02 and earned[2] > earned[1] + 0.1 and earned[3] > earned[2] + 0.1 and earned[4] > 0.9


def test_a_paraphrase_is_another_wording(task):
    starts = [Start(i, context=i) for i in range(150)]
    found = [e.ret for e in rollout(TokenVectorEnv(task, 64), Paraphrase(task), starts)]
    assert 0.02 < np.mean(np.array(found) == 1) < 0.4
    with pytest.raises(ValueError, match="'service'"):
        other = Dialogue(shared_words, split="validation")
        other.corpus = "multiwoz"
        Paraphrase(other)


def test_the_nearest_context_is_another_one(task):
    unlike = unlike_others(task)[:60]
    rate = np.mean(
        [
            e.ret == 1
            for e in rollout(TokenVectorEnv(task, 60), NearestReply(task), [Start(0, context=i) for i in unlike])
        ]
    )
    assert rate < 0.2


def test_policies_speak_any_tokenizer():
    turns = {turn for e in Dialogue(shared_words, split="test").examples for turn in e.turns}
    letters = sorted({letter for _, text in turns for letter in text})
    tokenizer = character_tokenizer([*letters, *MARKERS], end_token="<|end|>", pad_token="<|pad|>")
    tokenizer.chat_template = PACKAGED
    task = Dialogue(shared_words, split="test", max_context_tokens=300, max_response_tokens=120)
    env = TokenVectorEnv(task, 8, tokenizer=tokenizer)
    earned = [e.ret for e in rollout(env, HumanReply(task, tokenizer), range(8))]
    assert np.mean(earned) > 0.8


SMALL = {"split": "test", "progress": False}


def small(name, tmp_path, **options):
    return build(name, options.pop("episodes", None), tmp_path / name, reward=shared_words, **SMALL, **options)


def test_human_replies_as_a_data_set(tmp_path):
    data = small("dialogue-human", tmp_path)
    task = Dialogue(shared_words, split="test")
    assert len(data) == task.num_contexts
    assert [episode.info["context"] for episode in data] == list(range(len(data)))
    fits = [len(tokens) < 32 for tokens in encode(task.tokenizer(), [e.response for e in task.examples])]
    assert data.returns[fits].tolist() == [1.0] * sum(fits)
    assert 0.5 < data.returns[~np.array(fits)].mean() < 0.95
    assert {episode.info["policy"] for episode in data} == {"human"}


def test_several_replies_to_each_context(tmp_path):
    data = small("dialogue-mixture", tmp_path, episodes=400)
    groups = [[data[4 * i + j] for j in range(4)] for i in range(100)]
    for context, group in enumerate(groups):
        assert [e.info["policy"] for e in group] == ["human", "nearest", "random", "paraphrase"]
        assert {e.info["context"] for e in group} == {context}
    human, nearest, random, paraphrase = np.array([[e.ret for e in group] for group in groups]).mean(axis=0)
    assert human > paraphrase > nearest > random


def test_peoples_verdicts_as_a_data_set(tmp_path):
    from test_dialogue_corpora import verdict, write

    rows = [
        verdict(str(i), reward, {"role": "agent", "text": text})
        for i in range(40)
        for reward, text in ((1.0, "Which one?"), (0.0, "No."), (0.0, "far too long " * 30))
    ]
    path = write(tmp_path / "reward_00.json", rows)
    with pytest.raises(ValueError, match="corpus='taskmaster-feedback'"):
        small("taskmaster-feedback", tmp_path)
    data = small("taskmaster-feedback", tmp_path, corpus="taskmaster-feedback", path=str(path))
    assert len(data) == 2 * 4  # a tenth of the dialogues, and of each the two that fit
    for i, episode in enumerate(data):
        text = decode(text_tokenizer(), [episode.tokens])[0]
        said = "No." if i % 2 else "Which one?"
        assert text == f"<|agent|>Hello<|end|><|user|>a film<|agent|>{said}<|end|>"
        assert episode.ret == 1 - i % 2 and episode.terminated
    env = gym.make_vec(
        "Dialogue-BLEU-v0", 4, reward=shared_words, corpus="taskmaster-feedback", path=path, split="test"
    )
    assert [e.ret for e in rollout(env, HumanReply(env.task), range(4))] == [1.0] * 4


def test_committed_returns_are_what_measuring_gives():
    committed, id = scores.reference("Dialogue-BLEU-v0"), "Dialogue-BLEU-v0"
    for policy, expected in ((None, committed.random), (scores.expert(id), committed.expert)):
        mean, error = scores.measure(id, policy, 600)
        assert abs(mean - expected) < 4 * error + 0.001
