"""TRL's GRPOTrainer on our environments: it gets the played tokens, and their log-probabilities under the model."""

import copy
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
import trl
from chat_tokenizers import CHATML, chat_tokenizer
from trl import GRPOConfig, GRPOTrainer

from agents import LM
from lang_envs import Start, Turn, rollout
from lang_envs.contexts import check_context
from lang_envs.seeds import LIVE
from lang_envs.trl import environment_factory, episode_return, prompts, rollout_func
from lang_envs.trl.rollouts import Generation
from lang_envs.trl.starts import start_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL, on what is experimental


COLUMNS = ("prompt_ids", "completion_ids", "env_mask", "logprobs")


class Replay:
    """Says the utterances of an episode again, and refuses any other history."""

    def __init__(self, env, tokens, mask, opening):
        self.env, self.tokens, self.mask = env, tokens, mask
        self.opening = opening

    def act(self, histories, rngs):
        (history,) = histories
        assert history.tolist() == self.tokens[: len(history)]
        said, at = [], len(history) - self.opening
        limit = self.env.task.max_utterance_tokens
        while self.mask[at : at + 1] == [1] and len(said) < limit:
            said.append(self.tokens[self.opening + at])
            at += 1
            if said[-1] == self.env.end_id:
                break
        return [Turn(np.array(said, np.int32))]


def config(tmp_path, **settings):
    usual = {"num_generations": 4, "per_device_train_batch_size": 8, "max_steps": 2, "learning_rate": 1e-3}
    usual |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "logging_steps": 1, "temperature": 1.0}
    return GRPOConfig(
        str(tmp_path), **usual | {"save_strategy": "no", "report_to": "none", "disable_tqdm": True} | settings
    )


def first_token(completion_ids, **_):
    """What differs within a group even where nobody wins."""
    return [float(ids[0]) for ids in completion_ids]


def trainer_of(env, tmp_path, seen, kind=GRPOTrainer, **settings):
    """A trainer that keeps what it was given, and the weights that said it."""
    play = rollout_func(env)

    def watched(asked, trainer):
        weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        given = play(asked, trainer)
        seen.append((asked, given, weights))
        return given

    return kind(
        model=LM.from_scratch("d64-l2", env, seed=1).model,
        processing_class=env.tokenizer,
        reward_funcs=[episode_return, first_token],
        rollout_func=watched,
        train_dataset=prompts(env, 8, range(100, 108)),
        args=config(tmp_path, **settings),
    )


@pytest.mark.parametrize(
    "env_id, options, temperature, rows, steps",
    [("Wordle-v0", {"words": "english-30"}, 0.7, 5, 2), ("ClarifyingQA-v0", {}, 1.0, 8, 1)],
)
def test_grpo_learns_from_exactly_what_was_played(env_id, options, temperature, rows, steps, tmp_path):
    env = gym.make_vec(env_id, rows, **options).unwrapped
    seen = []
    trainer = trainer_of(env, tmp_path, seen, temperature=temperature, max_steps=steps)
    before = [weight.clone() for weight in trainer.model.parameters()]
    trainer.train()
    assert any((a != b).any() for a, b in zip(before, trainer.model.parameters(), strict=True))
    told = [row["rewards/episode_return/mean"] for row in trainer.state.log_history[:steps]]
    assert told == [pytest.approx(np.mean(given["episode_return"])) for _, given, _ in seen]
    assert len(seen) == steps
    alone = gym.make_vec(env_id, 1, **options).unwrapped
    model = LM.from_scratch("d64-l2", env).model  # whose forward no trainer has wrapped
    for asked, given, weights in seen:
        model.load_state_dict(weights)
        starts = [start_of(prompt) for prompt in asked]
        assert [start.seed for start in starts[:4]] == [starts[0].seed] * 4 != [start.seed for start in starts[4:]]
        for i in (0, 3, 7):
            opening, said, mask, chances = (given[key][i] for key in COLUMNS)
            assert len(said) == len(mask) == len(chances) and mask[0] == mask[-1] == 1
            # The record of the same episode, played anew from what was said alone.
            tokens = opening + said
            (record,) = rollout(alone, Replay(alone, tokens, mask, len(opening)), [starts[i]])
            assert record.tokens[: len(tokens)].tolist() == tokens and not record.is_action[len(tokens) :].any()
            assert record.is_action[: len(tokens)].tolist() == [False] * len(opening) + [bool(m) for m in mask]
            assert record.ret == pytest.approx(given["episode_return"][i])
            # The model's own opinion of these tokens, in one pass without padding.
            with torch.no_grad():
                logits = model(torch.tensor([tokens])).logits[0, len(opening) - 1 : -1] / temperature
            expected = logits.log_softmax(-1)[torch.arange(len(said)), torch.tensor(said)].numpy() * np.array(mask)
            np.testing.assert_allclose(chances, expected, atol=2e-5)


SAMPLING = [
    {"temperature": 0.5},
    {"top_k": 2},
    {"top_p": 0.3},
    {"min_p": 0.9},
    {"repetition_penalty": 3.0, "temperature": 0.7},
    {"temperature": 0.5, "top_p": 0.3, "generation_kwargs": {"top_k": 3}},
]


def sampled_from(model, tokens, at, temperature=1.0, repetition_penalty=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """The log-probabilities [V] of the token at a place, by the definitions and in one pass without a cache."""
    with torch.no_grad():
        logits = model(torch.tensor([tokens[:at]])).logits[0, -1]  # [V]
    said = torch.tensor(sorted(set(tokens[:at])))
    logits[said] = torch.where(logits[said] < 0, logits[said] * repetition_penalty, logits[said] / repetition_penalty)
    logits = logits / temperature
    if top_k:
        logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
    chances, order = logits.softmax(-1).sort(descending=True)  # [V]
    logits[order[chances.cumsum(-1) - chances >= top_p]] = -torch.inf  # what the likelier ones leave no room for
    chances = logits.softmax(-1)
    logits[chances < min_p * chances.max()] = -torch.inf
    return logits.log_softmax(-1)


@pytest.mark.parametrize("settings", SAMPLING, ids=str)
def test_the_distribution_is_the_one_that_was_sampled_from(settings, tmp_path):
    env = gym.make_vec("Wordle-v0", 4, words="english-30").unwrapped
    trainer = trainer_of(env, tmp_path, [], **settings)
    given = rollout_func(env)(list(trainer.train_dataset["prompt"])[:4], trainer)
    model, asked = LM.from_scratch("d64-l2", env, seed=1).model, dict(settings)  # whose forward no trainer has wrapped
    asked |= asked.pop("generation_kwargs", {})
    for opening, said, mask, chances in zip(*[given[key] for key in COLUMNS], strict=True):
        for i in np.flatnonzero(mask)[:12]:
            expected = sampled_from(model, opening + said, len(opening) + i, **asked)
            assert chances[i] == pytest.approx(expected[said[i]].item(), abs=2e-5)


class Watched(GRPOTrainer):
    """Keeps how far TRL's own forward pass, at the moment of learning, is from what it was told of the sampling."""

    def _compute_loss(self, model, inputs):
        ids, seen = (torch.cat([inputs[f"prompt_{part}"], inputs[f"completion_{part}"]], 1) for part in ("ids", "mask"))
        with torch.no_grad():
            own, *_ = self._get_per_token_logps_and_entropies(model, ids, seen, inputs["completion_ids"].shape[1])
        chosen = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
        self.ratios.append((own - inputs["sampling_per_token_logps"])[chosen].exp())
        return super()._compute_loss(model, inputs)


def test_the_importance_ratio_is_one_where_learning_is_on_policy(tmp_path):
    """In the first of two passes over the same rollouts; in the second the weights are no longer those that played."""
    env = gym.make_vec("Wordle-v0", 8, words="english-30").unwrapped
    trainer = trainer_of(env, tmp_path, [], kind=Watched, temperature=0.7, num_iterations=2)
    trainer.ratios = []
    trainer.train()
    first, second = trainer.ratios
    assert (first - 1).abs().max() < 1e-4
    assert (second - 1).abs().max() > 1e-3
    assert trainer.state.log_history[0]["clip_ratio/region_mean"] == 0.0


@pytest.mark.parametrize("settings", [{"num_beams": 2}, {"do_sample": False}, {"num_return_sequences": 2}])
def test_what_is_not_sampled_token_by_token_is_refused(settings, tmp_path):
    env = gym.make_vec("Wordle-v0", 2, words="english-30").unwrapped
    trainer = trainer_of(env, tmp_path, [])
    trainer.generation_config.update(**settings)
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"generation_kwargs has {name}={value}; expected {name}="):
        Generation(env, trainer)


def test_the_model_s_mode_is_put_back_and_rows_without_room_are_answered(tmp_path):
    env = gym.make_vec("Wordle-v0", 8, words="english-30", max_tokens=16).unwrapped  # the second guess has no room
    trainer = trainer_of(env, tmp_path, [])
    trainer.model.train()
    given = rollout_func(env)(list(trainer.train_dataset["prompt"]), trainer)
    assert trainer.model.training
    assert max(len(a) + len(b) for a, b in zip(given["prompt_ids"], given["completion_ids"], strict=True)) <= 16


def test_a_trainer_that_cannot_play_is_refused_in_words(tmp_path):
    env = gym.make_vec("Wordle-v0", 2, words="english-30").unwrapped
    trainer = trainer_of(env, tmp_path, [])
    other = gym.make_vec("ClarifyingQA-v0", 2).unwrapped
    with pytest.raises(ValueError, match=r"the model has 35 tokens and the environment \d+: make the environment with"):
        Generation(other, trainer)
    trainer.generation_config = None
    with pytest.raises(ValueError, match="expected use_vllm=False"):
        Generation(env, trainer)
    with pytest.raises(ValueError, match="expected rollout_func=lang_envs"):
        episode_return(["x"])
    with pytest.raises(ValueError, match=r"expected a prompt of lang_envs\.trl\.prompts"):
        start_of("guess a word")


def test_prompts_hold_their_starting_state():
    env = gym.make("Wordle-v0", words="english-30").unwrapped
    rows = prompts(env, 3, contexts=[4, 5, 6])
    assert rows["seed"] == [*LIVE.episodes(3)] and rows["context"] == [4, 5, 6]
    assert [start_of(prompt) for prompt in rows["prompt"]] == [
        Start(seed, context=context) for seed, context in zip(LIVE.episodes(3), [4, 5, 6], strict=True)
    ]
    assert rows["prompt"][0][0]["content"].startswith(env.task.instruction)
    assert start_of(prompts(env, 1, [7])["prompt"][0]) == Start(7)
    for arguments, words in (((2, [1]), "expected 2 seeds"), ((1, [-1]), "a seed must be"), ((0,), "at least 1")):
        with pytest.raises(ValueError, match=words):
            prompts(env, *arguments)
    with pytest.raises(ValueError, match="out of range") as refused:
        prompts(env, 1, contexts=[30])
    with pytest.raises(ValueError, match=str(refused.value)):
        check_context(env.task, 30)


# An utterance as a tool


def test_an_utterance_is_a_tool():
    make = environment_factory("ClarifyingQA-v0")
    environment, other = make(), make()
    env = gym.make("ClarifyingQA-v0", level="utterance").unwrapped
    for seed in range(3):
        env.reset(seed=seed)
        opening = environment.reset(prompt="...", seed=seed, context=None)
        other.reset(seed=seed + 10)
        assert opening == "\n".join(f"{role}: {content}" for role, content in env.conversation())
        total, over, turns = 0.0, False, 0
        while not over:
            _, reward, terminated, truncated, _ = env.step("The answer is A.")
            heard = environment.say("The answer is A.")
            total, over, turns = total + reward, terminated or truncated, turns + 1
            assert heard.endswith("The episode is over.") == over
            last = env.conversation()[-1]
            assert last.role == "assistant" or last.content in heard
        assert environment.get_reward() == total and turns == 3
    with pytest.raises(ValueError, match="the episode is over"):
        environment.say("more")
    with pytest.raises(ValueError, match="expected the id of a language environment"):
        environment_factory("CartPole-v1")


def test_grpo_takes_the_tool_and_its_reward(tmp_path, monkeypatch):
    """A model that calls the tool in each turn; its calls are written by hand."""
    tokenizer = chat_tokenizer(CHATML)
    env = gym.make_vec("Wordle-v0", 1, words="english-30", tokenizer=tokenizer).unwrapped
    env.max_tokens = 2048
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    call = {"name": "say", "arguments": {"message": "crane"}}
    said = tokenizer.encode(f"<tool_call>\n{json.dumps(call)}\n</tool_call>", add_special_tokens=False)
    monkeypatch.setattr(
        GRPOTrainer,
        "_generate_single_turn",
        lambda self, ids, *_, **__: ([[*said, tokenizer.eos_token_id] for _ in ids], None),
    )
    trainer = GRPOTrainer(
        model=LM.from_scratch("d64-l2", env).model,
        processing_class=tokenizer,
        environment_factory=environment_factory("Wordle-v0", words="english-30"),
        train_dataset=prompts(gym.make("Wordle-v0", words="english-30").unwrapped, 4, range(4)),
        args=config(tmp_path, max_steps=1, max_completion_length=1024, max_tool_calling_iterations=2),
    )
    trainer.train()
    (row,) = [row for row in trainer.state.log_history if "rewards/LanguageEnvironment/mean" in row]
    assert row["rewards/LanguageEnvironment/mean"] == -2.0 and row["tools/call_frequency"] == 2.0
