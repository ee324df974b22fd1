"""Training runs: their environment, their seed, and their options from the command line."""

import copy
import dataclasses
import json

import pytest

from agents import AGENTS, Agent, cli
from agents.cli.arguments import pairs
from agents.cli.train import parse
from agents.runs.config import RunConfig, learned_from
from agents.runs.environment import environment, environment_of
from agents.runs.run import _begin, _language_model, load, train
from datasets_builders import record
from lang_envs.make import language_vec
from lang_envs.policies.movie_review import Reviewer
from lang_envs.policies.wordle import RandomValid
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import text_tokenizer


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "wordle"
    venv = language_vec("Wordle-v0", 4, words="english-30")
    record(venv, RandomValid(venv.task), 8, out, progress=False)
    return out


def test_options_mean_what_they_say_however_they_are_written():
    given = ["a=False", "b=True", "c=None", "d=null", "e=false", "f=0.5", "g=[1, 2]", "some-name=english-30", "h="]
    assert pairs(given) == {
        **{"a": False, "b": True, "c": None, "d": None, "e": False, "f": 0.5, "g": [1, 2]},
        **{"some_name": "english-30", "h": ""},
    }


def test_an_environment_that_is_named_keeps_the_options_of_the_data(games):
    def words(env=None, **options):
        return len(environment(RunConfig("bc", {}, {}, 1, str(games), env, options), 1).task.words)

    assert words() == words("Wordle-v0") == 30
    assert words("Wordle-v0", words="english-100") == 100
    assert words("Wordle-Paper-v0", words="english-200") == 200


def test_the_seed_is_that_of_the_heads_too(tmp_path, monkeypatch):
    data = tmp_path / "reviews"
    record("MovieReview-v0", Reviewer(MovieReview()), 8, data, progress=False)
    env = language_vec("MovieReview-v0", 1)
    start = AGENTS["bc"](_language_model(RunConfig("bc", {}, {}, 1, lm="d64-l2"), env))
    start.save(tmp_path / "start")
    monkeypatch.setattr("agents.training.fit.make_steps", lambda *args: [])

    def heads(seed):
        config = RunConfig("ilql", {}, {}, 1, str(data), lm=str(tmp_path / "start"), seed=seed, decoding_episodes=0)
        return train(config, tmp_path / f"{seed}").model.q.state_dict()

    first, second = heads(0), heads(1)
    assert any((first[name] != second[name]).any() for name in first)


def test_tensorboard_can_be_asked_for(games, tmp_path):
    config, out = parse(["bc", "--data", str(games), "--out", str(tmp_path / "r"), "--tensorboard"])
    assert config.fit["tensorboard"] and "out" not in config.fit and out == tmp_path / "r"


def test_an_environment_of_other_tokens_is_refused(tmp_path):
    agent = AGENTS["bc"](_language_model(RunConfig("bc", {}, {}, 1), language_vec("MovieReview-v0", 1)))
    agent.save(tmp_path / "agent")
    loaded = load(tmp_path)
    assert isinstance(loaded, Agent)
    assert environment_of(tmp_path, loaded, "MovieReview-v0", rows=1).num_envs == 1
    with pytest.raises(ValueError, match="has another tokenizer than the environment"):
        environment_of(tmp_path, loaded, "Wordle-v0", rows=1)
    with pytest.raises(ValueError, match="does not say which environment"):
        environment_of(tmp_path, loaded)


@pytest.fixture
def spelling(tmp_path):
    """A model that speaks other tokens than any environment, and spells any text."""
    tokenizer = copy.deepcopy(text_tokenizer())
    tokenizer.add_tokens(["<|more|>"])
    env = language_vec("Dialogue-BLEU-v0", 1, tokenizer=tokenizer)
    lm = _language_model(RunConfig("bc", {}, {}, 1), env)
    lm.model.save_pretrained(tmp_path / "lm")
    tokenizer.save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def test_the_environment_speaks_the_models_tokens_where_nothing_else_is_asked_for(spelling, tmp_path, capsys):
    lm, out = str(spelling), tmp_path / "run"
    train = ["train", "bc", "--lm", lm, "--steps", "1", "--batch-size", "2", "--decoding-episodes", "0"]
    logs = tmp_path / "logs"
    assert (
        cli.main(["record", "dialogue-human", "--episodes", "4", "--out", str(logs), "--set", f"tokenizer={lm}"]) == 0
    )
    assert cli.main([*train, "--data", str(logs), "--out", str(out)]) == 0
    agent = load(out)
    assert len(environment_of(out, agent, rows=1).tokenizer) == len(agent.lm.tokenizer) == 2049
    there = ["--env", "Dialogue-BLEU-v0", "--episodes", "2"]
    for run in (out, out / "agent"):
        assert environment_of(run, agent, "Reddit-Upvotes-v0", rows=1).tokenizer.get_vocab()["<|more|>"] == 2048
        assert cli.main(["eval", str(run), *there]) == 0
    config = RunConfig("bc", {}, {}, 1, env="Reddit-Upvotes-v0", lm=lm)
    assert len(environment(config, 1).tokenizer) == 2049
    assert len(environment(dataclasses.replace(config, lm="d64-l2"), 1).tokenizer) == 2048
    own = tmp_path / "own"
    assert cli.main(["record", "dialogue-human", "--episodes", "4", "--out", str(own)]) == 0
    capsys.readouterr()
    assert cli.main([*train, "--data", str(own), "--out", str(tmp_path / "other")]) == 2
    assert "2048 tokens). The one in use (2049 tokens) is" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    config = RunConfig("bc", {}, {}, 1)
    _begin(config, tmp_path)
    found = json.loads((tmp_path / "config.json").read_text())
    assert found.pop("dtype") == "fp32"
    (tmp_path / "config.json").write_text(json.dumps(found))
    _begin(config, tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        _begin(dataclasses.replace(config, dtype="bf16"), tmp_path)


def test_weights_of_another_precision_are_those_of_a_model_that_is_loaded(spelling):
    env = environment(RunConfig("bc", {}, {}, 1, env="Dialogue-BLEU-v0", lm=str(spelling)), 1)
    config = RunConfig("bc", {}, {}, 1, lm=str(spelling), dtype="bf16")
    assert str(_language_model(config, env).model.dtype) == "torch.bfloat16"
    with pytest.raises(ValueError, match="made from scratch"):
        _language_model(dataclasses.replace(config, lm="d64-l2"), env)


@pytest.mark.parametrize("name", ["", "agent"])
def test_a_damaged_configuration_is_no_agent_without_logs(tmp_path, name):
    run, elsewhere = tmp_path / "run", tmp_path / "saved"
    for folder in (run / "agent", elsewhere / "of_mine"):
        folder.mkdir(parents=True)
    assert learned_from(run / name) == learned_from(elsewhere / "of_mine") == []
    for folder in (run, elsewhere):
        (folder / "config.json").write_text('{"agent": "bc", "data"')
    with pytest.raises(ValueError, match=r"run/config\.json should hold a JSON object"):
        learned_from(run / name)
    assert learned_from(elsewhere / "of_mine") == []  # where the file is not the agent's
