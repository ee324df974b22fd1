"""Unusual tokenizers: with gaps in their ids, and with a token that begins every text."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence
from llama_tokenizer import llama_like
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agents import BC, ILQL, LM, PPO, DecisionTransformer, DecisionTransformerConfig, Live, Logged, collate
from agents.decoding.beams import BeamSearch
from agents.decoding.candidate_scores import TextReward
from agents.evaluation.explain import spoken
from agents.reference import logprobs
from datasets_builders import EpisodeDataset, build, record
from datasets_builders.logs.importing import Options
from datasets_builders.provenance import tokenizer_facts
from datasets_builders.trl import to_sft
from lang_envs import TokenEnv, TokenVectorEnv, UtteranceEnv, check_env, rollout
from lang_envs.adoption import adopt
from lang_envs.make import language_vec
from lang_envs.policies.any_task import RandomTokens, Say
from lang_envs.policies.endpoint import Endpoint
from lang_envs.policies.reddit import Logged as LoggedComments
from lang_envs.policies.served import Served
from lang_envs.policies.servers import Answered
from lang_envs.scores import expert
from lang_envs.speech import Speech
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import (
    encode,
    fingerprint,
    opening_tokens,
    text_tokenizer,
    transcripts,
    unused_ids,
    vocabulary_size,
)
from lang_envs.utterances import opening

HOLE, PLAIN = llama_like(bos=False, hole=9), llama_like(bos=False)
LLAMA = llama_like()
N = HOLE.eos_token_id - 9  # tokens before the hole
NONE = range(N, N + 9)
BOS, END = LLAMA.bos_token_id, LLAMA.eos_token_id
OPENING = encode(LLAMA, ["review :"])[0]


# Holes


def test_ids_are_counted_to_the_largest_and_holes_are_known(tmp_path):
    assert (len(HOLE), vocabulary_size(HOLE), HOLE.eos_token_id) == (N + 1, N + 10, N + 9)
    assert unused_ids(HOLE).tolist() == list(NONE)
    assert (vocabulary_size(PLAIN), unused_ids(PLAIN).tolist()) == (len(PLAIN), [])
    HOLE.save_pretrained(tmp_path)
    assert vocabulary_size(adopt(tmp_path)) == N + 10 == tokenizer_facts(adopt(tmp_path))["vocab_size"]
    more = llama_like(bos=False, hole=9)
    more.add_tokens(["<new>"])
    assert vocabulary_size(more) == more.convert_tokens_to_ids("<new>") + 1


@pytest.mark.parametrize("make", [TokenEnv, lambda task, tokenizer: TokenVectorEnv(task, 2, tokenizer=tokenizer)])
def test_an_id_that_belongs_to_no_token_cannot_be_said(make):
    env = make(MovieReview(), HOLE)
    one = isinstance(env, TokenEnv)
    space = env.action_space if one else env.single_action_space
    assert space.n == N + 10
    assert N + 9 in space and N + 4 not in space and N + 10 not in space
    assert {int(space.sample()) for _ in range(999)} <= {*range(N), N + 9}
    assert np.flatnonzero(~np.atleast_2d(env.action_masks())[0]).tolist() == list(NONE)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"id {N + 4} belongs to no token of the vocabulary"):
        env.step(N + 4 if one else [5, N + 4])
    env.step(N + 9 if one else [5, N + 9])
    if not one:
        env.begin([1], [0])
        with pytest.raises(ValueError, match=f"id {N + 8} belongs to no token"):
            env.say([1], [np.array([N + 8, N + 9], np.int32)])


def test_random_tokens_and_recordings_have_none(tmp_path):
    env = TokenVectorEnv(MovieReview(), 8, tokenizer=HOLE)
    data = record(env, RandomTokens(env.task, HOLE), 64, tmp_path / "d", progress=False)
    said = np.concatenate([episode.tokens for episode in data])
    assert {*said.tolist()} <= {*range(N), N + 9} and N + 9 in said


@pytest.mark.parametrize("make", [BC, ILQL, DecisionTransformer])
def test_agents_never_say_one(make, tmp_path):
    env = TokenVectorEnv(MovieReview(), 8, tokenizer=HOLE)
    lm = LM.from_scratch("d64-l2", env)
    with torch.no_grad():  # what nothing has trained yet, as loud as can be
        lm.model.transformer.ln_f.bias.copy_(
            20 * lm.model.lm_head.weight[N + 4] / lm.model.lm_head.weight[N + 4].norm()
        )
    extra = {"config": DecisionTransformerConfig(edges=(0.0,))} if make is DecisionTransformer else {}
    agent = make(lm, **extra)
    for policy in (agent.policy(), agent.policy(greedy=True)):
        for episode in rollout(env, policy, range(16)):
            assert not {*NONE} & {*episode.tokens.tolist()}
    again = type(agent).load(agent.save(tmp_path / "agent"))
    assert not {*NONE} & {t for e in rollout(env, again.policy(), range(16)) for t in e.tokens.tolist()}
    if make is BC:
        assert not {*NONE} & {*BeamSearch(agent, 3).act([np.array([5], np.int32)], [None])[0].tokens.tolist()}
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "agent")
        ids = plain.generate(torch.tensor([[5]]), max_new_tokens=8, do_sample=False, pad_token_id=0)
        assert not {*NONE} & {*ids[0].tolist()}


def test_what_is_sampled_is_what_the_loss_sees():
    env = TokenVectorEnv(MovieReview(), 8, tokenizer=HOLE)
    agent = BC(LM.from_scratch("d64-l2", env))
    episodes = list(rollout(env, agent.policy(), range(8)))
    batch = collate(episodes, agent.lm.pad_id, agent.lm.end_id)
    torch.testing.assert_close(logprobs(agent.model, batch), batch.logprob, atol=1e-5, rtol=1e-4)


def test_ppo_plays_without_them():
    env = TokenVectorEnv(MovieReview(), 8, tokenizer=HOLE)
    PPO(LM.from_scratch("d64-l2", env)).learn(Live(env), 1, progress=False)


@pytest.mark.parametrize("size", [N + 10, N + 40])
def test_the_end_tokens_embedding_stays(size, tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=size, max_position_embeddings=64, eos_token_id=N + 9, **sizes))
    model.save_pretrained(tmp_path)
    HOLE.save_pretrained(tmp_path)
    env = language_vec("MovieReview-v0", 4, tokenizer=str(tmp_path))
    lm = LM.from_pretrained(tmp_path, env)
    assert lm.model.get_input_embeddings().num_embeddings == N + 10
    torch.testing.assert_close(lm.model.get_input_embeddings().weight[N + 9], model.model.embed_tokens.weight[N + 9])
    agent = BC(lm).learn(Logged(list(rollout(env, Say("fine", env.task, env.tokenizer), range(8)))), 2, progress=False)
    assert all(episode.terminated or episode.truncated for episode in rollout(env, agent.policy(), range(8)))


# The token that begins a text


def test_what_a_template_puts_before_a_text(tmp_path):
    assert (opening_tokens(LLAMA), opening_tokens(PLAIN), opening_tokens(text_tokenizer())) == ([BOS], [], [])
    LLAMA.save_pretrained(tmp_path)
    for again in (adopt(tmp_path), PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        assert opening_tokens(again) == [BOS] and fingerprint(again) == fingerprint(LLAMA)
    assert fingerprint(LLAMA) != fingerprint(PLAIN)
    assert tokenizer_facts(LLAMA)["opening"] == [BOS] and "opening" not in tokenizer_facts(PLAIN)
    assert Speech(MovieReview(), LLAMA).openings(["review :"]) == [[BOS, *OPENING]]
    assert LLAMA("review :")["input_ids"] == [BOS, *OPENING]
    assert opening(OPENING, [BOS], limit=3) == [BOS, *OPENING[-2:]]
    with pytest.raises(ValueError, match="no room"):
        opening(OPENING, [BOS], limit=1)


@pytest.mark.parametrize("history", [[BOS, *OPENING], OPENING])
def test_it_is_no_part_of_a_transcript(history):
    assert transcripts(LLAMA, [history, np.array(history, np.int32)]) == ["review :"] * 2
    assert transcripts(LLAMA, [[BOS, *OPENING, BOS]]) == ["review :<s>"]  # said by the agent, and shown


class Remembering(MovieReview):
    """Keeps what it hears."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def reply(self, state, utterance, rng):
        self.heard.append(utterance)
        return super().reply(state, utterance, rng)


def test_every_level_opens_with_it_once_and_no_text_has_it():
    said = [*encode(LLAMA, ["good"])[0], END]
    one, many = (TokenEnv(Remembering(), LLAMA, render_mode="ansi"), TokenVectorEnv(Remembering(), 2, tokenizer=LLAMA))
    observation, _ = one.reset(seed=0)
    vector, _ = many.reset(seed=0)
    assert observation["input_ids"][observation["attention_mask"] == 1].tolist() == [BOS, *OPENING]
    assert data_equivalence(observation, {key: values[0] for key, values in vector.items()})
    for token in said:
        one.step(token)
        many.step([token, token])
    assert one.task.heard == ["good"] and many.task.heard == ["good"] * 2
    assert one.render() == "review :good</s>"
    episode = many.episode(0)
    assert episode.tokens.tolist() == [BOS, *OPENING, *said]
    assert episode.is_action.tolist() == [False] * 9 + [True] * 5 and not episode.rewards[:9].any()
    text = UtteranceEnv(Remembering(), LLAMA, render_mode="ansi")
    assert text.reset(seed=0)[0] == "review :"
    text.step("good")
    assert text.task.heard == ["good"] and text.render() == "review :good</s>"


def test_an_environment_with_it_and_with_holes_is_sound(tmp_path):
    llama_like(hole=9).save_pretrained(tmp_path)
    check_env("MovieReview-v0", tokenizer=str(tmp_path))


def test_a_long_opening_keeps_it_within_the_limit():
    task = Dialogue("bleu", max_context_tokens=24, max_response_tokens=8)
    text = UtteranceEnv(task, LLAMA)
    observation, _ = text.reset(seed=0, options={"context": 4})
    env = TokenVectorEnv(task, 1, tokenizer=LLAMA)
    env.reset(seed=0, options={"context": 4})
    limit = Speech(task, env.tokenizer).context_limit
    whole = Speech(task, env.tokenizer).markup.opening(task.examples[4].context)
    assert len(env.history(0)) <= limit < len(whole)
    assert env.history(0)[0] == BOS and BOS not in env.history(0)[1:]
    assert observation == transcripts(LLAMA, [env.history(0)])[0] and "<s>" not in observation


@pytest.mark.parametrize("id", ["ClarifyingQA-v0", "VisualDialogue-v0", "Dialogue-BLEU-v0", "Reddit-Upvotes-v0"])
def test_scripted_players_read_past_it(id):
    env = gym.make_vec(id, 4, tokenizer=LLAMA, max_tokens=4096)
    env.task.max_utterance_tokens = 512
    policy = expert(env)
    env.reset(seed=0)
    plain = gym.make_vec(id, 4, tokenizer=PLAIN, max_tokens=4096)
    plain.task.max_utterance_tokens = 512
    plain.reset(seed=0)
    histories, without = ([e.history(row).copy() for row in range(4)] for e in (env, plain))
    assert all(h[0] == BOS for h in histories)
    turns = policy.act(histories, [np.random.default_rng(i) for i in range(4)])
    expected = expert(plain).act(without, [np.random.default_rng(i) for i in range(4)])
    assert [t.tokens.tolist() for t in turns] == [t.tokens.tolist() for t in expected]


def test_logged_comments_are_found_behind_it():
    env = gym.make_vec("Reddit-Upvotes-v0", 2, tokenizer=LLAMA)
    env.reset(seed=0)
    turns = LoggedComments(env.task, env.tokenizer).act([env.history(0)], [np.random.default_rng(0)])
    assert len(turns) == 1 and len(turns[0].tokens) > 1


@pytest.mark.parametrize("chat", [True, False])
def test_servers_and_reward_models_are_not_shown_it(chat, monkeypatch):
    env = gym.make_vec("Dialogue-BLEU-v0", 1, tokenizer=LLAMA)
    env.reset(seed=0, options={"context": 4})
    history = env.history(0)
    policy, asked, rated = Served("http://localhost:1/v1", "m", env.task, LLAMA, chat=chat), [], []
    said = {"choices": [{"message": {"content": "fine"}, "text": "fine", "finish_reason": "stop"}]}
    answers = [Answered(json.dumps(said).encode(), Endpoint("http://localhost:1/v1", None, 1, 0, 0))]
    monkeypatch.setattr(policy._servers, "ask", lambda requests: asked.extend(map(str, requests)) or answers)
    policy.act([history], [np.random.default_rng(0)])
    assert len(asked) == 1 and "<s>" not in asked[0]
    score = TextReward(LLAMA, lambda texts: rated.extend(texts) or [0.0] * len(texts), with_history=True)
    score([history], [np.array([*encode(LLAMA, ["fine"])[0], END], np.int32)])
    assert "<s>" not in rated[0] and rated[0].endswith("fine</s>")


def test_texts_that_come_and_go(tmp_path):
    env = TokenVectorEnv(MovieReview(), 2, tokenizer=LLAMA)
    data = record(env, Say("good", env.task, LLAMA), 2, tmp_path / "d", progress=False)
    assert data.provenance["tokenizer"]["opening"] == [BOS]
    assert to_sft(data, tmp_path / "sft.jsonl").respelled == 0
    assert "<s>" not in (tmp_path / "sft.jsonl").read_text()
    plain = Options(plain=True, strict=True)
    back = EpisodeDataset.from_rows(tmp_path / "sft.jsonl", LLAMA, plain)
    assert back[0].tokens.tolist() == data[0].tokens.tolist()
    assert back[0].is_action.tolist() == data[0].is_action.tolist()
    (tmp_path / "p.jsonl").write_text('{"prompt": "is it", "chosen": "yes", "rejected": "no"}\n')
    pairs = EpisodeDataset.from_rows(tmp_path / "p.jsonl", LLAMA, plain)
    assert [episode.tokens[0] for episode in pairs] == [BOS, BOS]


def test_recipes_write_it(tmp_path):
    options = {"env_id": "Dialogue-BLEU-v0", "tokenizer": LLAMA, "progress": False}
    data = build("dialogue-human", 4, tmp_path / "d", **options)
    assert all(e.tokens[0] == BOS and not e.is_action[0] and BOS not in e.tokens[1:] for e in data)


def test_an_explained_text_begins_with_it():
    env = TokenVectorEnv(MovieReview(), 1, tokenizer=LLAMA)
    assert spoken(env, ["good"], seed=0).tokens[0] == BOS


def test_a_model_reads_what_it_was_trained_on():
    """What is said in a history is as likely as ``model(**tokenizer(text))`` has it, which begins with <s>."""
    env = TokenVectorEnv(MovieReview(), 1, tokenizer=LLAMA)
    agent = BC(LM.from_scratch("d64-l2", env))
    [episode] = rollout(env, Say("good", env.task, LLAMA), [0])
    batch = collate([episode], agent.lm.pad_id, agent.lm.end_id)
    ids = torch.tensor([[*LLAMA("review :good")["input_ids"], END]])
    expected = agent.model(ids).logits.log_softmax(-1)[0, 8:-1].gather(-1, ids[0, 9:, None]).squeeze(-1)
    torch.testing.assert_close(logprobs(agent.model, batch)[0], expected, atol=1e-5, rtol=1e-4)
