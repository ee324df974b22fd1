"""Recording several answers to each context: what the answers share, what is drawn for each, counting and resuming."""

import numpy as np
import pytest
from guess_task import Guess

from datasets_builders import EpisodeDataset
from datasets_builders.samples import Sampling, record_samples, samples, size
from lang_envs import Reply, Task
from lang_envs.chat_templates import MARKERS, PACKAGED
from lang_envs.conversation import user
from lang_envs.policies.any_task import RandomTokens
from lang_envs.rollout import Turn
from lang_envs.tokenizers import character_tokenizer
from lang_envs.utterances import spell
from lang_envs.vector import TokenVectorEnv

TOKENIZER = character_tokenizer([*"abcdefghijkl", *MARKERS], end_token="<|end|>", pad_token="<|pad|>")
TOKENIZER.chat_template = PACKAGED
LOG = (["b", "cd"], [], ["a"], ["klk"], ["e", "f", "g"])


class Parrot(Task[int]):
    """Single turn: the reward is how many letters are those of the context."""

    max_turns, max_utterance_tokens, max_tokens, num_contexts = 1, 4, 16, len(LOG)

    def tokenizer(self):
        return TOKENIZER

    def begin(self, rng):
        return self.begin_at(int(rng.integers(self.num_contexts)), rng)

    def begin_at(self, context, rng):
        return context, (user("abcde"[context]),)

    def reply(self, state, utterance, rng):
        reward = float(utterance.count("abcde"[state])) + rng.random() / 8  # with some chance of the environment's own
        return Reply(state, (), reward, True, {"context": state})


class Logged(Parrot):
    """The same, with what people said."""

    def logged_replies(self, context):
        return LOG[context]


class Search:
    """Candidates that depend on the history alone."""

    name, beams = "search", 3

    def candidates(self, histories):
        return [[Turn(np.array([int(h[1]), i, 13], np.int32)) for i in range(3)] for h in histories]

    def act(self, histories, rngs):
        return [best for best, *_ in self.candidates(histories)]


class Drawn(RandomTokens):
    def __init__(self, task, temperature):
        super().__init__(task)
        self.temperature = temperature


def everything(env):
    policies = {f"random-{t:g}": Drawn(env.task, t) for t in (0.5, 1.0)}
    return Sampling(policies, per_context=3, human=True, search=Search())


def facts(episode):
    return {key: episode.info[key] for key in ("context", "policy", "sample", "temperature")}


def test_each_context_gets_every_kind_of_answer():
    env = TokenVectorEnv(Logged(), 4)
    sampling = everything(env)
    episodes = list(samples(env, 0, sampling)(0))
    assert len(episodes) == size(env, sampling) == 7 + 5 * (2 * 3 + 3)
    expected = []
    for context, replies in enumerate(LOG):
        kinds = [("human", len(replies), None), ("random-0.5", 3, 0.5), ("random-1", 3, 1.0), ("search", 3, None)]
        for policy, count, temperature in kinds:
            for number in range(count):
                known = {"context": context, "policy": policy, "sample": number, "temperature": temperature}
                expected.append(known)
    assert [facts(episode) for episode in episodes] == expected
    for episode in episodes:
        opening = episode.tokens[: episode.is_action.argmax()]
        assert TOKENIZER.decode(opening) == f"<|user|>{'abcde'[episode.info['context']]}<|agent|>"


def test_the_human_reply_is_said_exactly():
    env = TokenVectorEnv(Logged(), 4)
    human = list(samples(env, 0, Sampling(human=True))(0))
    said = [TOKENIZER.decode(episode.tokens[episode.is_action]) for episode in human]
    assert said == [f"{reply}<|end|>" for replies in LOG for reply in replies]


def test_candidates_are_said_as_they_are():
    env = TokenVectorEnv(Parrot(), 4)
    found = list(samples(env, 0, Sampling(human=False, search=Search()))(0))
    for episode in found:
        assert episode.tokens[episode.is_action].tolist() == [episode.info["context"], episode.info["sample"], 13]


def test_samples_differ_and_the_start_and_the_chance_of_the_environment_do_not():
    env = TokenVectorEnv(Parrot(), 4)
    policies = {"a": RandomTokens(env.task), "b": RandomTokens(env.task)}
    episodes = list(samples(env, 0, Sampling(policies, per_context=4, human=False))(0))
    assert len({episode.tokens.tobytes() for episode in episodes}) > 35
    first = [episode for episode in episodes if episode.info["context"] == 0]
    assert len({episode.info["seed"] for episode in first}) == 1
    assert len({round(episode.ret % 1, 6) for episode in first}) == 1


def test_an_answer_depends_on_its_place_alone(monkeypatch):
    def drawn(rows, at_once):
        monkeypatch.setattr("datasets_builders.samples._BLOCK_EPISODES", at_once)
        env = TokenVectorEnv(Logged(), rows)
        sampling = everything(env)
        block, found, k = samples(env, 3, sampling), [], 0
        while len(found) < size(env, sampling):
            found, k = [*found, *block(k)], k + 1
        return found

    one, other = drawn(1, 4096), drawn(7, 20)
    assert len(one) == len(other)
    assert all(a.same_as(b) for a, b in zip(one, other, strict=True))


def test_a_recording_is_whole_resumable_and_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets_builders.samples._BLOCK_EPISODES", 20)

    def recorded(name, **options):
        env = TokenVectorEnv(Logged(), 4)
        return record_samples(env, everything(env), tmp_path / name, progress=False, **options)

    whole = recorded("a", source={"run": tmp_path / "runs"})
    assert len(whole) == 52
    assert whole.provenance["recipe"] == {"name": "samples", "options": {"per_context": 3, "human": True}}
    assert whole.provenance["policies"]["random-0.5"]["name"] == "Drawn"
    assert whole.provenance["source"] == {"run": str(tmp_path / "runs")}
    assert whole.describe()["policies"].keys() == {"human", "random-0.5", "random-1", "search"}

    real, calls = Search.candidates, []

    def failing(self, histories):
        calls.append(len(histories))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, histories)

    monkeypatch.setattr(Search, "candidates", failing)
    source = {"run": tmp_path / "runs"}
    with pytest.raises(KeyboardInterrupt):
        recorded("b", source=source)
    monkeypatch.setattr(Search, "candidates", real)
    recorded("b", source=source)
    assert all(a.same_as(b) for a, b in zip(whole, EpisodeDataset.load(tmp_path / "b"), strict=True))


def test_tasks_without_a_corpus_start_from_seeds(tmp_path):
    env = TokenVectorEnv(Guess(), 8)
    sampling = Sampling({"random": RandomTokens(env.task)}, per_context=5, human=False)
    assert size(env, sampling) is None
    dataset = record_samples(env, sampling, tmp_path / "a", 23, progress=False)
    assert [episode.info["seed"] for episode in dataset] == [i // 5 for i in range(23)]
    with pytest.raises(ValueError, match="have no end: say how many"):
        record_samples(env, sampling, tmp_path / "b", progress=False)


def test_bad_asks_are_told(tmp_path):
    env = TokenVectorEnv(Parrot(), 4)
    policies = {"random": RandomTokens(env.task)}
    with pytest.raises(ValueError, match="Parrot has no human replies"):
        samples(env, 0, Sampling(policies))
    with pytest.raises(ValueError, match="nothing to record"):
        samples(env, 0, Sampling(human=False))
    with pytest.raises(ValueError, match="per_context must be at least 1"):
        samples(env, 0, Sampling(policies, per_context=0, human=False))
    with pytest.raises(ValueError, match="there are 10 episodes of this kind, 11"):
        record_samples(env, Sampling(policies, 2, human=False), tmp_path / "a", 11, progress=False)
    several = TokenVectorEnv(Logged(), 4)
    several.task.max_turns = 2
    several.task.reply = lambda state, utterance, rng: Reply(state, "", 0.0, False, {"context": state})
    with pytest.raises(ValueError, match="a task of several turns needs human=False"):
        list(samples(several, 0, Sampling(human=True))(0))


def test_replies_are_cut_like_any_utterance():
    assert spell(TOKENIZER, "abcdefgh", Parrot.max_utterance_tokens).tolist() == [0, 1, 2, 3]
    env = TokenVectorEnv(Logged(), 2)
    env.task.logged_replies = lambda context: ["abcdefgh"]
    assert all(len(e.tokens[e.is_action]) == 4 for e in samples(env, 0, Sampling())(0))


def test_policies_without_a_temperature_have_none():
    env = TokenVectorEnv(Parrot(), 2)
    found = list(samples(env, 0, Sampling({"scripted": RandomTokens(env.task)}, per_context=1, human=False))(0))
    assert {episode.info["temperature"] for episode in found} == {None}


def test_greedy_policies_have_temperature_zero():
    env = TokenVectorEnv(Parrot(), 2)
    greedy = RandomTokens(env.task)
    greedy.greedy = True
    found = list(samples(env, 0, Sampling({"greedy": greedy}, per_context=1, human=False))(0))
    assert {episode.info["temperature"] for episode in found} == {0.0}
