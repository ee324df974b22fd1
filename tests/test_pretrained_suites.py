"""Suites with a pretrained language model: its tokenizer is used, it plays untrained, and agents start from it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from chat_tokenizers import SMOLLM2, chat_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from agents import BC
from agents.agent import Agent
from agents.benchmark import Baseline, Cell, Data, Experiment, Samples, Suite, run
from agents.benchmark.experiment import Elsewhere
from agents.benchmark.measures import Played, diversity
from agents.benchmark.running.check import check
from agents.benchmark.running.units import units
from agents.benchmark.suite_file import suite_of_plain
from agents.models.value_lm import ValueLM
from lang_envs.episode import Episodes
from lang_envs.make import language_vec
from lang_envs.policies.reddit import Logged
from lang_envs.rollout import rollout

FIT = {"steps": 2, "batch_size": 4}
STILL = {**FIT, "lr": 1e-12}
DRAWN = ({"temperature": 1.0},)
LOGS = {"corpus": "service", "max_context_tokens": 48, "max_response_tokens": 6}
DEFAULTS = json.loads(
    json.dumps(
        {
            f.name: f.default if f.default is not dataclasses.MISSING else f.default_factory()
            for kind in (Cell, Experiment, Elsewhere)
            for f in dataclasses.fields(kind)
            if dataclasses.MISSING is not f.default or dataclasses.MISSING is not f.default_factory
        }
    )
)
COMMITTED = sorted(Path(__file__).parents[1].glob("docs/results/*/config.json"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a Llama of a few thousand weights that writes ChatML."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = chat_tokenizer(SMOLLM2, "<|im_end|>")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def suite_of(lm, **changes):
    settings = {
        "name": "tiny",
        "title": "Tiny",
        "about": "Whether it runs.",
        "data": Data("dialogue-human", 12, options=LOGS),
        "env": "Dialogue-chrF-v0",
        "env_options": {**LOGS, "split": "test"},
        "selection_options": {**LOGS, "split": "validation"},
        "cells": (
            Cell("as it comes", "bc", decodings=DRAWN, trained=False),
            Cell("BC", "bc", fit={**FIT, "lr": 0.1}, decodings=DRAWN),
            Cell("%BC", "bc", {"keep_top": 0.5}, STILL, DRAWN, start="BC"),
            Cell("ILQL", "ilql", {"gamma": 1.0}, STILL, ({"advantage_weight": 1}, {"greedy": True}), start="BC"),
        ),
        "baselines": (Baseline("human", "human"),),
        "elsewhere": (Elsewhere("BLEU", "Dialogue-BLEU-v0", {**LOGS, "split": "test"}),),
        "measures": ("length", "divergence"),
        "reference": "as it comes",
        "episodes": 6,
        "selection_episodes": 2,
        "lm": lm,
        "lora": {"rank": 2},
    }
    return Suite("tiny", "Tiny", (Experiment(**{**settings, **changes}),), seeds=1)


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "tiny"
    run(suite_of(model), out, say=lambda line: None)
    return out


def place(out, label):
    return out / "cells" / "tiny" / label / "0"


def metrics(out, label):
    return json.loads((place(out, label) / "result.json").read_text())["metrics"]


def weights(out, label):
    """Of the adapters of its language model."""
    model = Agent.load(place(out, label) / "agent").model
    state = (model.lm if isinstance(model, ValueLM) else model).state_dict()
    return {name: x for name, x in state.items() if "lora" in name}


def test_it_plays_as_it_comes(finished, model):
    agent = Agent.load(place(finished, "as-it-comes") / "agent")
    ids = torch.arange(20)[None]
    untouched = AutoModelForCausalLM.from_pretrained(model)(ids).logits
    assert torch.allclose(agent.lm.model(input_ids=ids).logits, untouched, atol=1e-6)
    assert not (place(finished, "as-it-comes") / "fit").exists()


def test_divergence_is_that_from_the_untouched_model(finished):
    assert metrics(finished, "as-it-comes")["kl"] == pytest.approx(0, abs=1e-5)
    assert metrics(finished, "bc")["kl"] > 0.01
    assert metrics(finished, "percent-bc")["kl"] == pytest.approx(metrics(finished, "bc")["kl"], rel=1e-3)


def test_cells_start_from_the_adapters_of_another(finished):
    start, same = weights(finished, "bc"), weights(finished, "percent-bc")
    assert start and all(torch.allclose(start[name], same[name], atol=1e-6) for name in start)
    first = weights(finished, "as-it-comes")
    assert any(not torch.allclose(start[name], first[name], atol=1e-3) for name in start)
    values = weights(finished, "ilql")
    assert start.keys() == values.keys() and all(
        torch.allclose(x, start[name], atol=1e-6) for name, x in values.items()
    )


def test_the_report_shows_what_all_of_them_answer(finished):
    section = (finished / "report.html").read_text().partition('<section id="start">')[2].partition("</section>")[0]
    for label in ("as it comes", "BC", "%BC", "ILQL", "human"):
        assert f"<h3>{label} <span" in section
    assert "<b>user</b>" in section and "<b>system</b>" not in section
    assert "BLEU" in (finished / "table.md").read_text()


def test_what_is_lost_is_made_again_and_nothing_else(finished, model, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    before = metrics(out, "ilql")
    shutil.rmtree(place(out, "ilql"))
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    run(suite_of(model), out, say=lambda line: None)
    assert metrics(out, "ilql") == before
    assert len(kept) == 4 and kept == {path: path.stat().st_mtime_ns for path in kept}


def test_a_training_that_was_stopped_goes_on_to_the_same(finished, model, tmp_path, monkeypatch):
    suite = suite_of(model, cells=suite_of(model).experiments[0].cells[:2])
    steps, loss = [], BC.loss

    def stopped(self, batch):
        steps.append(len(batch))
        if len(steps) == 2:
            raise RuntimeError("power cut")
        return loss(self, batch)

    monkeypatch.setattr(BC, "loss", stopped)
    with pytest.raises(ValueError, match="power cut"):
        run(suite, tmp_path / "run", say=lambda line: None)
    run(suite, tmp_path / "run", say=lambda line: None)
    assert len(steps) == 1 + 1 + 1  # one made, one stopped, and that one again
    assert metrics(tmp_path / "run", "bc") == metrics(finished, "bc")


def test_what_a_training_depends_on(model):
    def training(**changes):
        work = units(suite_of(model, **changes), Path("nowhere"))
        return next(unit.training() for unit in work if unit.name == "tiny/BC/0")

    as_it_is = training()
    assert as_it_is["experiment"]["lora"] == {"rank": 2} and as_it_is == training(measures=(), episodes=9)
    for changes in ({"lora": {"rank": 3}}, {"lora": None}, {"dtype": "bf16"}, {"markup": "plain"}):
        assert training(**changes) != as_it_is, changes


def test_all_speak_its_tokens(model):
    base = suite_of(model).experiments[0]
    cells = (*base.cells, Cell("others", "bc", fit=FIT, data=Data("dialogue-mixture", 9, options=LOGS)))
    own = dataclasses.replace(cells[1], label="own", data=Samples("BC", 4, drawn=1))
    held_out = Data("dialogue-human", 5, options={**LOGS, "split": "test"})
    spoken = dataclasses.replace(base, cells=(*cells, own), held_out=held_out, markup="plain")
    everywhere = [spoken.env_options, spoken.selection_options, spoken.elsewhere[0].options, spoken.data.options]
    everywhere += [spoken.held_out.options, spoken.cells[-2].data.options]
    for options in everywhere:
        assert {**options, "split": ""} == {**LOGS, "split": "", "tokenizer": model, "markup": "plain"}
    assert spoken.cells[-1].data == own.data and spoken.cells[1].data is None
    assert suite_of_plain(Suite("tiny", "Tiny", (spoken,)).plain()).plain()["experiments"][0]["markup"] == "plain"
    silent = dataclasses.replace(base, selection_options=None, elsewhere=())
    assert silent.selection_options is None
    other = {"tokenizer": "another"}
    assert suite_of(model, env_options=other).experiments[0].env_options == other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora": {"rnak": 2}}, "'tiny': .*'rnak'"),
        ({"lora": {"rank": 0}}, "'tiny': .*rank must be at least 1, not 0"),
        ({"lora": {"rank": "two"}}, "'tiny': .*rank must be of the type int, not 'two'"),
        ({"lm": "d64-l2"}, "'tiny': lora and dtype are of a model that was trained elsewhere; 'd64-l2' is made here"),
        ({"lm": "d64-l2", "lora": None, "dtype": "bf16"}, "'tiny': lora and dtype are of a model"),
        ({"lm": "d64-l3"}, "'tiny': .*d64-l3"),
        ({"dtype": "fp16"}, "dtype .*'fp16'"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_anything_is_written(changes, words, model, tmp_path):
    changed = suite_of(changes.pop("lm", model), **changes)
    with pytest.raises(ValueError, match=words):
        check(suite_of_plain(changed.plain()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def added(new, old, where="suite"):
    """Fields of ``new`` that ``old`` lacks, by their place; fails where both have one and differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        assert old.keys() <= new.keys(), where
        missing = {f"{where}.{name}": new[name] for name in new.keys() - old.keys()}
        return missing | {k: x for name in old for k, x in added(new[name], old[name], f"{where}.{name}").items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return {k: x for i in range(len(old)) for k, x in added(new[i], old[i], where).items()}
    assert new == old, where
    return {}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_results_of_models_from_scratch_are_what_they_were(path):
    config = json.loads(path.read_text())
    suite = suite_of_plain(config)
    for place, value in added(suite.plain(), config).items():
        assert value == DEFAULTS[place.rpartition(".")[2]], place
    for unit in units(suite, Path("nowhere")):
        assert not {"lora", "dtype", "markup"} & unit.spec()["experiment"].keys()
        assert not {"lora", "dtype", "markup"} & unit.training().get("experiment", {}).keys()
        assert "tokenizer" not in unit.spec()["experiment"]["env_options"]


def test_diversity_in_a_single_context_is_that_of_all_episodes():
    env = language_vec("Reddit-Toxicity-v0", 8, condition_on_parent=False)
    episodes = Episodes.from_list(list(rollout(env, Logged(env.task), range(8))))
    assert {info["context"] for info in episodes.info} == {0}
    found = diversity(Played(env, episodes))
    assert 0 < found["self_bleu"] < 1 and found["different"] > 0.5
