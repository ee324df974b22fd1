"""Values put into a plain language model: the same equation, the same reviews, and a folder that any library opens."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from test_cli import call
from test_fixed_points import EACH_ONCE, FIT, VALUES
from toy_agent import make_agent, make_episodes, same_weights
from toy_agent import make_env as toy_env
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents import ILQL, LM, Agent, ILQLConfig, Logged, LoRAConfig, collate
from agents.agent import Agent as Parent
from agents.decoding.distribution import next_token_logprobs
from agents.distil import DistilConfig, Distilled, language_model_of, teacher_of
from agents.models.lora import add_adapters
from agents.runs.distilling import distil
from datasets_builders import EpisodeDataset
from lang_envs import rollout

BEST = "the movie wasn't good it was superb"
QUICK = {"lr": 3e-3, "batch_size": 32, "progress": False}


@pytest.fixture(scope="module")
def env():
    return gym.make_vec("MovieReview-v0", 32)


@pytest.fixture(scope="module")
def ilql(env):
    """An agent that writes the best review by its values, and another one without them.

    Its log holds each review once, so that values are learned in seconds.
    """
    return ILQL(LM.from_scratch("d64-l2", env), ILQLConfig(**VALUES, tau=0.99)).learn(
        Logged(EACH_ONCE), 120, **FIT | {"batch_size": 8}
    )


def review(env, policy):
    (episode,) = rollout(env, policy, [0])
    return env.tokenizer.decode(episode.tokens[2:-1]), episode.ret


def test_the_student_writes_the_best_review_without_values(ilql, env, tmp_path):
    greedy = {"greedy": True, "advantage_weight": 20.0}
    assert review(env, ilql.policy(**greedy))[0] == BEST
    assert review(env, ilql.policy(greedy=True, advantage_weight=0.0))[0] != BEST
    data, out = EpisodeDataset.from_episodes(EACH_ONCE), tmp_path / "model"
    kept = distil(ilql, env, out, greedy, 120, DistilConfig(), data, episodes=64, facts={"agent": "x"}, **QUICK)
    assert kept.divergence < 0.02 and kept.student == kept.teacher and kept.difference_error == 0
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert type(plain).__name__ == "GPT2LMHeadModel"
    said = plain.generate(torch.tensor([tokenizer("review :")["input_ids"]]))
    assert tokenizer.decode(said[0], skip_special_tokens=True).removeprefix("review : ") == BEST
    card = (out / "README.md").read_text()
    assert f"| return of this model | {kept.student:.4f} |" in card and "library_name: transformers" in card
    (out / "README.md").write_text("of mine")
    LM.from_pretrained(out, env)  # whoever writes on the page damages nothing


def toy(weight=3.0):
    agent = make_agent("ilql")
    agent.model.update_targets(1.0)
    agent.model.config.advantage_weight = weight
    return agent


def test_the_loss_is_the_divergence_in_its_equation():
    agent, batch = toy(), collate(make_episodes(5), 11, 12)
    decoding = {"advantage_weight": 5.0, "advantage_clip": 0.3, "lm_top_k": 6, "greedy": True, "temperature": 0.3}
    student = Distilled(teacher_of(agent, decoding), language_model_of(agent))
    loss, parts = student.loss(batch)
    speaks = agent.policy(advantage_weight=5.0, advantage_clip=0.3, lm_top_k=6)
    at = batch.places(batch.state)
    with torch.no_grad():
        teacher = next_token_logprobs(speaks, batch.input_ids, at).double()
        own = student.model(batch.input_ids).logits.flatten(0, 1)[at].double().log_softmax(-1)
    exact = [
        sum(t.exp() * (t - o) for t, o in zip(p, q, strict=True) if t > -np.inf)
        for p, q in zip(teacher, own, strict=True)
    ]
    assert (teacher == -np.inf).any() and float(np.mean(exact)) > 0.01
    assert loss.item() == pytest.approx(float(np.mean(exact)), rel=1e-4) == parts["loss/kl"].item()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in student.model.parameters())
    assert all(p.grad is None for p in agent.model.parameters())


def test_the_student_starts_as_the_language_model_with_its_adapters():
    agent = toy()
    start = language_model_of(agent).model
    assert same_weights(start.state_dict(), agent.model.lm.state_dict())
    pytest.importorskip("peft", reason="the extra lora is not installed")
    lm = make_agent("bc").lm
    add_adapters(lm.model, LoRAConfig(rank=2))
    lm.lora = LoRAConfig(rank=2)
    adapted = ILQL(lm, ILQLConfig(zero_init=False))
    with torch.no_grad():
        for name, parameter in adapted.model.lm.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
    ids = torch.tensor([[13, 3, 12, 4]])
    plain = language_model_of(adapted).model
    assert torch.allclose(plain(ids).logits, adapted.model.lm(ids).logits, atol=1e-5)
    assert not any("lora" in name for name in plain.state_dict())


def test_an_interrupted_distillation_goes_on_to_the_same_weights(tmp_path):
    agent, env, data = toy(), toy_env(), EpisodeDataset.from_episodes(make_episodes(40))
    asked = {"steps": 6, "logged": data, "episodes": 8, "batch_size": 8, "progress": False, "schedule_steps": 6}
    for out, pieces in ((tmp_path / "whole", [6]), (tmp_path / "pieces", [2, 4, 6])):
        for steps in pieces:
            distil(agent, env, out, {}, **{**asked, "steps": steps})
    whole, pieces = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "pieces"))
    assert same_weights(whole, pieces)
    assert not same_weights(whole, agent.model.lm.state_dict())
    with pytest.raises(ValueError, match=r"holds another distillation \(weights\)"):
        distil(toy().learn(Logged(make_episodes(8)), 1, progress=False), env, tmp_path / "whole", {}, **asked)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(ValueError, match="was not distilled here"):
        distil(agent, env, tmp_path / "mine", {}, **asked)


@pytest.mark.parametrize(
    "name,decoding,words",
    [
        ("bc", {}, "has no values"),
        ("utterance_ilql", {}, "no values of tokens"),
        ("awr", {}, "does not use its values"),
        ("ilql", {"advantage_weight": 0.0}, "does not use its values"),
    ],
)
def test_where_there_is_nothing_to_distil_it_says_so(name, decoding, words):
    with pytest.raises(ValueError, match=words):
        teacher_of(make_agent(name), decoding)


def test_the_commands_distil_and_merge(ilql, env, tmp_path, capsys):
    agent: Parent = ilql
    agent.decoding = {"greedy": True, "advantage_weight": 20.0}
    run = agent.save(tmp_path / "ilql" / "agent")
    asked = ["distil", run, "--out", tmp_path / "plain", "--env", "MovieReview-v0", "--steps", 2, "--episodes", 4]
    code, out, error = call(capsys, *asked, "--played", 1.0, "--batch-size", 4, "--no-progress")
    assert code == 0, error
    assert "divergence, nats a token" in out and "return of the student" in out
    assert (tmp_path / "plain.training" / "metrics.jsonl").exists()
    assert "* agent: `ilql`" in (tmp_path / "plain" / "README.md").read_text()
    code, _, error = call(capsys, *asked, "--set", "advantage_weight=0")
    assert code == 2 and "lang-envs merge --plain" in error
    assert call(capsys, "merge", run, "--out", tmp_path / "alone", "--plain")[0] == 0
    speaks = json.loads((tmp_path / "alone" / "generation_config.json").read_text())
    assert speaks["do_sample"] is False and speaks["max_new_tokens"] == agent.lm.max_utterance_tokens
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "alone")
    assert same_weights(alone.state_dict(), agent.model.lm.state_dict())
    assert call(capsys, "merge", run, "--out", tmp_path / "whole")[0] == 0
    assert Agent.load(tmp_path / "whole").decoding == agent.decoding
