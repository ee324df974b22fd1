"""PPO: the environment as stable-baselines3 sees it, the penalty, the masks, cloning before playing, resuming."""

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from guess_task import Guess
from test_fixed_points import LOG
from toy_agent import TOKENIZER, make_agent, make_env, make_episodes, make_lm, same_weights, weights
from transformers import LlamaConfig, LlamaForCausalLM

pytest.importorskip("sb3_contrib", reason="the extra ppo is not installed")

from stable_baselines3 import A2C

from agents import BC, LM, Agent, FitConfig, Live, Logged, Mixed, fit
from agents.ppo import PPO, PPOConfig
from agents.sb3 import learner
from agents.sb3.actor_critic import ActorCritic, masked_logprobs
from agents.sb3.env import TokenVecEnv
from lang_envs import TokenVectorEnv, rollout
from lang_envs.make import language_vec
from lang_envs.seeds import LIVE
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tasks.wordle import Wordle

WORDS = ("crane", "crate", "slate", "stale", "trace")


def settings(**changes: Any) -> dict[str, Any]:
    return {"lr": 3e-3, "batch_size": 8, "log_every": 1, "schedule": "constant", "progress": False, **changes}


@pytest.fixture
def algorithms(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The library's algorithm objects, one for each iteration."""
    seen, metrics = [], learner._metrics

    def watch(algorithm: Any) -> dict[str, float]:
        seen.append(algorithm)
        return metrics(algorithm)

    monkeypatch.setattr(learner, "_metrics", watch)
    return seen


# The environment


def test_the_adapter_is_the_environment_step_by_step() -> None:
    native, rng = TokenVectorEnv(Guess(), 3, autoreset_mode="SameStep"), np.random.default_rng(0)
    adapter = TokenVecEnv(TokenVectorEnv(Guess(), 3))
    adapter.seed(7)
    expected, _ = native.reset(seed=7)
    for key, value in adapter.reset().items():
        np.testing.assert_array_equal(value, expected[key])
    cut = ended = 0
    for _ in range(150):
        tokens = np.where(rng.random(3) < 0.4, native.end_id, rng.integers(8, size=3))
        expected, rewards, terminated, truncated, infos = native.step(tokens)
        observation, ours, done, rows = adapter.step(tokens)
        for key, value in observation.items():
            np.testing.assert_array_equal(value, expected[key])
        np.testing.assert_allclose(ours, rewards, rtol=1e-6)
        np.testing.assert_array_equal(done, terminated | truncated)
        np.testing.assert_array_equal(adapter.env_method("action_masks"), native.action_masks())
        for row, info in enumerate(rows):
            if done[row]:
                for key, value in info["terminal_observation"].items():
                    np.testing.assert_array_equal(value, infos["final_obs"][row][key])
                assert info["TimeLimit.truncated"] == (truncated[row] and not terminated[row])
                cut, ended = cut + truncated[row], ended + terminated[row]
            columns = infos.get("final_info", {}) if done[row] else infos
            assert ("off" in info) == bool("off" in columns and columns["_off"][row])
            if "off" in info:
                assert (info["off"], info["said"]) == (columns["off"][row], columns["said"][row])
    assert cut > 5 and ended > 5


def test_every_row_takes_its_seeds_in_turn() -> None:
    adapter, rng = TokenVecEnv(make_env(2), 40), np.random.default_rng(1)
    adapter.reset()
    seed_of, returns = [40, 41], 0
    other = make_env(1)
    for _ in range(60):
        _, _, done, infos = adapter.step(np.where(rng.random(2) < 0.5, other.end_id, rng.integers(8, size=2)))
        for row in np.flatnonzero(done):
            final = infos[row]["terminal_observation"]
            other.begin([0], [seed_of[row]])
            last, seed_of[row] = seed_of[row], seed_of[row] + 2
            while not other.finished[0]:
                at = len(other.history(0))
                length = next(k for k in range(1, 4) if final["input_ids"][at + k - 1] == other.end_id or k == 3)
                other.say([0], [final["input_ids"][at : at + length].astype(np.int32)])
            np.testing.assert_array_equal(other.history(0), final["input_ids"][final["attention_mask"] > 0], str(last))
            assert infos[row]["episode"]["r"] == pytest.approx(other.episode(0).rewards.sum(), abs=1e-5)
            returns += 1
    assert returns > 5 and adapter.begun.sum() == returns + 2


def test_other_algorithms_of_the_library_learn_on_the_adapter() -> None:
    A2C("MultiInputPolicy", TokenVecEnv(make_env()), n_steps=8, device="cpu").learn(64)
    with pytest.raises(NotImplementedError, match="no method 'close'"):
        TokenVecEnv(make_env()).env_method("close")


# What is learned


def small_llama() -> LM:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=len(TOKENIZER), initializer_range=0.2, max_position_embeddings=32, **sizes)
        return LM(LlamaForCausalLM(config), TOKENIZER, Guess().max_utterance_tokens)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("masked", [False, True])
def test_reading_token_by_token_is_reading_whole_episodes(architecture: str, masked: bool, algorithms: Any) -> None:
    env = TokenVectorEnv(Guess(max_turns=3), 5)
    lm = make_lm() if architecture == "gpt2" else small_llama()
    agent = PPO(lm, PPOConfig(mask_actions=masked, rollout_tokens=17))
    agent.learn(Live(env), 1, lr=0.0)
    buffer, policy = algorithms[0].rollout_buffer, algorithms[0].policy
    samples = list(buffer.get())
    for part in samples:
        with torch.no_grad():
            value, logp, entropy = policy.evaluate_actions(part.observations, part.actions.flatten(), part.action_masks)
        torch.testing.assert_close(logp, part.old_log_prob, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(value, part.old_values, rtol=1e-3, atol=1e-4)
        assert (entropy > 0).all()
    said = np.concatenate([part.actions.flatten() for part in samples])
    assert len(said) == 17 * 5 and sorted(said) == sorted(buffer.actions.flatten())
    assert not masked or buffer.action_masks.mean() < 0.9


@pytest.mark.parametrize("masked", [False, True])
def test_the_penalty_and_the_advantages_by_hand(masked: bool, algorithms: Any) -> None:
    env = TokenVectorEnv(Guess(max_turns=2), 3)
    config = PPOConfig(kl_coef=0.3, gamma=0.9, gae_lambda=0.8, rollout_tokens=13, mask_actions=masked, epochs=1)
    agent = PPO(make_lm(), config)
    agent.learn(Live(env, seed=1), 1, lr=3e-2)  # away from the start
    rows = list(fit(agent, live := Live(env, seed=2), 1, FitConfig(lr=0.0, log_every=1)))
    network, buffer = agent.network, algorithms[-1].rollout_buffer
    lengths = buffer.observations["attention_mask"].sum(-1)
    other = TokenVecEnv(env, LIVE.first(2))
    other.reset()
    ratios = []
    expected = np.zeros((13, 3))
    for t in range(13):
        legal = torch.from_numpy(np.stack(other.env_method("action_masks"))) if masked else None
        _, rewards, _, infos = other.step(buffer.actions[t, :, 0])
        for n in range(3):
            history = torch.from_numpy(buffer.observations["input_ids"][t, n, : lengths[t, n]])[None]
            with torch.no_grad():
                one, two = (
                    masked_logprobs(model(history).logits[0, -1:], None if legal is None else legal[n : n + 1])[0]
                    for model in (network.lm, network.reference)
                )
                ratios.append((one - two)[buffer.actions[t, n, 0]].item())
                if infos[n].get("TimeLimit.truncated"):
                    end = infos[n]["terminal_observation"]
                    ids = torch.from_numpy(end["input_ids"][: end["attention_mask"].sum()])[None]
                    rewards[n] += 0.9 * network.value(network.lm.base_model(ids).last_hidden_state[:, -1])[0].item()
            expected[t, n] = rewards[n] - 0.3 * ratios[-1]
    np.testing.assert_allclose(buffer.rewards, expected, atol=1e-4)
    assert rows[0]["policy/kl"] == pytest.approx(np.mean(ratios), abs=1e-4) and abs(np.mean(ratios)) > 1e-3
    assert live.played == 3 * other.begun.max()
    for n in range(3):
        for t in range(12):  # the last one looks past the rollout
            goes_on = 1 - buffer.episode_starts[t + 1, n]
            delta = buffer.rewards[t, n] + 0.9 * goes_on * buffer.values[t + 1, n] - buffer.values[t, n]
            advantage = delta + 0.9 * 0.8 * goes_on * buffer.advantages[t + 1, n]
            assert buffer.advantages[t, n] == pytest.approx(advantage, abs=1e-4)
    squares = (buffer.advantages**2).mean()  # (G - V)^2, as the weights stood still
    assert rows[0]["loss/value"] == pytest.approx(squares, rel=0.2)
    assert rows[0]["policy/clip_fraction"] == 0 and rows[0]["policy/update_kl"] == pytest.approx(0, abs=1e-6)


def test_the_penalty_adapts_to_its_target() -> None:
    network = ActorCritic(make_lm().model, 0, kl_coef=0.1)
    for kl, expected in ((0.05, 0.102), (0.021, 0.1005), (0.0, 0.098)):
        network.kl_coef.fill_(0.1)
        network.adapt(kl, target=0.02)
        assert network.kl_coef.item() == pytest.approx(expected)
    agent = PPO(make_lm(), PPOConfig(kl_coef=0.1, kl_target=10.0))
    rows = list(fit(agent, Live(make_env()), 3, FitConfig(**settings())))
    assert [row["policy/kl_coef"] for row in rows] == pytest.approx([0.1, 0.098, 0.098**2 / 0.1])
    assert rows[0]["policy/kl"] == pytest.approx(0, abs=1e-5)  # which the start is at


def test_masks_are_respected(algorithms: Any) -> None:
    env = TokenVectorEnv(Wordle(words=WORDS), 8)
    agent = PPO(LM.from_scratch("d64-l2", env), PPOConfig(mask_actions=True, minibatches=2, epochs=2))
    rows = list(fit(agent, Live(env), 2, FitConfig(**settings())))
    assert rows[0]["policy/kl"] == pytest.approx(0, abs=1e-5)
    for algorithm in algorithms:
        buffer = algorithm.rollout_buffer
        ended = buffer.actions[..., 0] == env.end_id
        assert ended.any()
        for t, n in zip(*ended.nonzero(), strict=True):
            length = buffer.observations["attention_mask"][t, n].sum()
            word = env.tokenizer.decode(buffer.observations["input_ids"][t, n, length - 5 : length])
            assert word.replace(" ", "") in WORDS
    with pytest.raises(ValueError, match="mask_actions needs a task that knows its legal tokens"):
        PPO(make_lm(), PPOConfig(mask_actions=True)).learn(Live(TokenVectorEnv(Silent(), 2)), 1)


class Silent(Guess):
    def legal_tokens(self, state: Any, said: Any, tokenizer: Any) -> Any:
        return None


def test_playing_improves_on_what_was_cloned() -> None:
    env = language_vec("MovieReview-v0", 32)
    lm = LM.from_scratch("d64-l2", env)
    BC(lm).learn(Logged(LOG), 60, lr=3e-3, batch_size=50)  # which returns 0.136, exactly
    agent = PPO(lm, PPOConfig(kl_coef=0.01, epochs=2))
    rows = list(fit(agent, Live(env, seed=2), 8, FitConfig(**settings(lr=3e-4))))
    assert np.mean([row["data/return"] for row in rows[4:]]) > MovieReview().behaviour_return + 0.12
    [greedy] = rollout(env, agent.policy(greedy=True), [0])
    assert greedy.rewards.sum() >= 0.5


def test_a_mixture_clones_first_and_what_it_cloned_is_the_start() -> None:
    agent = PPO(make_lm())
    source = Mixed(log := Logged(make_episodes(16)), live := Live(make_env()), 0.8)
    cloning, playing = [], []
    for row in fit(agent, source, 10, FitConfig(**settings(lr=1e-2))):
        (cloning if "loss/bc" in row else playing).append(row)
        assert ("loss/bc" in row) != ("loss/policy" in row)
        if row["step"] == 8:
            cloned = weights(agent)
            assert live.played == 0 and (log.epoch, log.position) == (3, 16)
    assert len(cloning) == 8 and cloning[-1]["loss"] < cloning[0]["loss"]
    assert playing[0]["policy/kl"] == pytest.approx(0, abs=1e-5) and abs(playing[1]["policy/kl"]) > 1e-5
    assert live.played >= 8
    assert same_weights(cloned, agent.network.reference.state_dict()) and not same_weights(cloned, weights(agent))


# Runs


def test_a_log_alone_is_refused_in_words() -> None:
    log = Logged(make_episodes(8))
    for source in (log, Mixed(log, Live(make_env()), 1.0), Mixed(log, log)):
        with pytest.raises(ValueError, match=r"just played itself.*Mixed\(Logged.*'ilql' or 'awr'"):
            PPO(make_lm()).learn(source, 1)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_continues_bit_for_bit(cut: int, tmp_path: Path) -> None:
    def run(steps: int, **changes: Any) -> Agent:
        agent = PPO(make_lm(dropout=0.1), PPOConfig(kl_target=0.01, rollout_tokens=9))
        source = Mixed(Logged(make_episodes(18), seed=1), Live(make_env(), seed=2), 0.5)
        return agent.learn(source, steps, **settings(schedule_steps=4, lr=1e-2, **changes))

    whole = run(4)
    run(cut, out=tmp_path)
    torch.manual_seed(123)
    resumed = run(4, out=tmp_path)
    assert same_weights(whole.network.state_dict(), resumed.network.state_dict()) and resumed.step == 4
    assert same_weights(weights(whole), weights(resumed))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert not same_weights(weights(whole), weights(run(3)))


def test_only_torch_s_generator_is_touched_as_by_every_agent() -> None:
    def states() -> Any:
        return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = states()
    PPO(make_lm()).learn(Live(make_env()), 1, **settings(seed=5))
    assert before == states()
    after = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(after, torch.get_rng_state())


def test_a_saved_agent_is_the_language_model(tmp_path: Path) -> None:
    agent = make_agent("ppo").learn(Live(make_env()), 2, **settings())
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    assert isinstance(loaded, PPO) and loaded.step == 2 and same_weights(weights(agent), weights(loaded))
    said = [[e.tokens.tolist() for e in rollout(make_env(), a.policy(), range(5))] for a in (agent, loaded)]
    assert said[0] == said[1]
    loaded.learn(Live(make_env()), 1, **settings())
    assert loaded.step == 3 and not same_weights(weights(agent), weights(loaded))


def test_episodes_without_an_end_are_bootstrapped_and_bring_no_return() -> None:
    agent = PPO(make_lm(), PPOConfig(rollout_tokens=2))
    [row] = fit(agent, live := Live(make_env(), seed=3), 1, FitConfig(**settings()))
    assert math.isfinite(row["loss"]) and live.played >= 4
    assert "data/return" not in row or live.played > 4


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(ValueError, match="at step 1, and the weights are spoilt"):
        PPO(make_lm()).learn(Live(make_env()), 2, **settings(lr=1e30))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agents.sb3.learner")
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ValueError, match=r"pip install 'lang-envs\[ppo\]'"):
        PPO(make_lm()).learn(Live(make_env()), 1)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"rollout_tokens": 1}, "rollout_tokens must be at least 2"),
        ({"kl_coef": -1.0}, "kl_coef is a price"),
        ({"kl_target": 0.1, "kl_coef": 0.0}, "needs a kl_coef above 0"),
        ({"gamma": 2.0}, "gamma lies from 0 to 1"),
        ({"gae_lambda": -0.1}, "gae_lambda lies from 0 to 1"),
        ({"clip_range": -0.5}, "clip_range must be above 0"),
        ({"entropy_weight": -1.0}, "entropy_weight must be at least 0"),
    ],
)
def test_settings_that_cannot_be_meant(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PPOConfig(**setting)
