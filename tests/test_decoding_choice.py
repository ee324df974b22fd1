"""The choice of a decoding: the grid, the starts, what is saved, and that training does not depend on it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import END, PAD, TOKENIZER, make_env, make_model
from toy_agent import OFFLINE, make_agent, make_episodes
from toy_agent import make_env as make_toy_env
from transformers import AutoModelForCausalLM

from agents import ILQL, LM, Agent, Logged, LoRAConfig, cli
from agents.benchmark.running import protocols
from agents.cli.show import console
from agents.cli.train import parse, show_choice
from agents.evaluation import decoding_choice
from agents.evaluation.decoding_choice import Choice, Tried, choose, grid_of
from agents.runs import decoding_file, decoding_search, run
from datasets_builders import EpisodeDataset
from lang_envs import Episode
from lang_envs.seeds import SELECTION

HISTORY = [3, 7, 1, 5]
LOUD = {"greedy": True, "advantage_weight": 40.0, "lm_top_p": 0.9}


def ilql() -> Agent:
    """One whose values would have it say other things than its language model."""
    return ILQL(LM(make_model("shared", advantage_weight=1.0), TOKENIZER, 7))


def paid(reward: float) -> Episode:
    """An episode of one action."""
    rewards = np.array([0, reward], np.float32)
    return Episode(np.array([0, 1], np.int32), np.array([False, True]), rewards, terminated=True)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where episodes would have begun: they are not played, and earn the decoding's top_k, 1 more or less."""
    asked: list[Any] = []

    def rollout(env: Any, policy: Any, starts: Any) -> Any:
        asked.append(starts)
        return (paid(policy + (1 if i % 2 else -1)) for i in range(len(starts)))

    monkeypatch.setattr(protocols, "rollout", rollout)
    monkeypatch.setattr(protocols.evaluate, "decoded", lambda agent, decoding, proposer: decoding.get("top_k", 0))
    return asked


def task(contexts: int | None) -> Any:
    return SimpleNamespace(task=SimpleNamespace(num_contexts=contexts))


def test_the_highest_return_is_chosen_and_the_first_of_equals(played: list[Any]) -> None:
    decodings = [{"top_k": k, "greedy": k == 0} for k in (0, 3, 2, 3)]
    choice = choose(make_agent("bc"), task(None), 4, decodings)
    assert [one.mean for one in choice.tried] == [0, 3, 2, 3]
    assert choice.best is choice.tried[1] and choice.alone is None
    assert choice.best == Tried({"top_k": 3, "greedy": False}, 3.0, pytest.approx(2 / 3**0.5 / 2), 4)
    assert [[start.seed for start in starts] for starts in played] == [list(SELECTION.episodes(4))] * 4


def test_contexts_come_equally_often_and_once_where_nothing_is_drawn(played: list[Any]) -> None:
    choice = choose(make_agent("bc"), task(3), 7, [{"greedy": True}, {"top_k": 1}])
    greedy, sampled = ([start.context for start in starts] for starts in played)
    assert sorted(greedy) == [0, 1, 2] and sorted(map(sampled.count, range(3))) == [2, 2, 3]
    assert [one.episodes for one in choice.tried] == [3, 7]


def test_who_speaks_without_values_is_told_apart() -> None:
    def tried(mean: float, **decoding: Any) -> Tried:
        return Tried(decoding, mean, 0.0, 1)

    with_values = Choice((tried(1, advantage_weight=0), tried(2, advantage_weight=0), tried(5, advantage_weight=4)))
    assert with_values.alone is with_values.tried[1] and with_values.best is with_values.tried[2]
    assert Choice((tried(1, candidates=8), tried(0, candidates=1))).alone == tried(0, candidates=1)
    assert Choice((tried(1, greedy=True),)).alone is None


def test_choosing_nothing_is_refused(played: list[Any]) -> None:
    for episodes, decodings in ((0, None), (4, [])):
        with pytest.raises(ValueError, match="needs episodes and decodings"):
            choose(make_agent("bc"), task(None), episodes, decodings)


@pytest.mark.parametrize("algorithm", OFFLINE)
def test_every_decoding_that_is_tried_can_be_played_and_leaves_the_agent_as_it_was(algorithm: str) -> None:
    agent = make_agent(algorithm)
    agent.prepare(Logged(make_episodes(18), seed=1))
    grid, before = grid_of(agent), agent.model.config.to_dict()
    assert len({json.dumps(one, sort_keys=True) for one in grid}) == len(grid) <= 24
    choice = choose(agent, make_toy_env(), 2)
    assert [one.decoding for one in choice.tried] == grid
    assert agent.model.config.to_dict() == before
    chooses = agent.values_tokens or algorithm in ("utterance_ilql", "q_sft")
    assert (choice.alone is not None) == chooses
    history, rng = [np.array([8], np.int32)], [np.random.default_rng(0)]
    assert all(len(agent.policy(**one).act(history, rng)) == 1 for one in grid)


def test_returns_that_a_decision_transformer_has_seen_are_asked_of_it() -> None:
    agent = make_agent("decision_transformer")
    agent.prepare(Logged(make_episodes(18), seed=1))
    assert {one["target"] for one in grid_of(agent)} == set(agent.edges[-3:])


def said_by_policy(agent: Agent, **decoding: Any) -> list[int]:
    [turn] = agent.policy(**decoding).act([np.array(HISTORY, np.int32)], [np.random.default_rng(0)])
    return turn.tokens.tolist()


def said_by_generate(folder: Path) -> list[int]:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    ids = torch.tensor([HISTORY])
    return model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=7)[0, len(HISTORY) :].tolist()


@pytest.mark.parametrize("lora", [None, LoRAConfig(rank=2)])
def test_a_saved_agent_speaks_as_chosen_in_generate_too(lora: LoRAConfig | None, tmp_path: Path) -> None:
    if lora is not None:
        pytest.importorskip("peft")
        ilql().save(tmp_path / "start")
        agent: Agent = ILQL(LM.from_pretrained(tmp_path / "start", make_env(), lora))
    else:
        agent = ilql()
    loud, plain = said_by_policy(agent, **LOUD), said_by_policy(agent, greedy=True)
    assert loud != plain
    agent.decoding = LOUD
    agent.save(tmp_path / "agent")
    assert agent.model.config.advantage_weight == 1.0 and not hasattr(agent.model.config, "as_trained")
    assert said_by_generate(tmp_path / "agent") == loud
    again = Agent.load(tmp_path / "agent")
    assert again.decoding == LOUD and said_by_policy(again, **again.decoding) == loud
    assert said_by_policy(again, greedy=True) == plain


def test_sampling_is_written_down_for_generate(tmp_path: Path) -> None:
    agent = ilql()
    agent.model.generation_config.update(do_sample=True, top_k=20, repetition_penalty=1.3)
    agent.decoding = {"temperature": 0.7, "top_p": 0.9, "advantage_weight": 4}
    agent.save(tmp_path / "a")
    found = json.loads((tmp_path / "a" / "generation_config.json").read_text())
    found.pop("transformers_version")
    ids = {"eos_token_id": END, "pad_token_id": PAD}
    assert found == {"do_sample": True, "temperature": 0.7, "top_k": 0, "top_p": 0.9, **ids}
    again = Agent.load(tmp_path / "a")
    again.decoding = None
    again.save(tmp_path / "b")
    before = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert (before["top_k"], before["repetition_penalty"]) == (20, 1.3) and "temperature" not in before
    assert "as_trained" not in json.loads((tmp_path / "b" / "config.json").read_text())


def test_training_from_an_agent_does_not_see_the_decoding_chosen_for_it(tmp_path: Path) -> None:
    agent = ilql()
    agent.save(tmp_path / "none")
    agent.decoding = LOUD
    agent.save(tmp_path / "loud")
    plain, loud = (LM.from_pretrained(tmp_path / name, make_env()).model for name in ("none", "loud"))
    for one in (plain, loud):
        one.config._name_or_path = ""
    assert loud.config.to_dict() == plain.config.to_dict() and loud.config.advantage_weight == 1.0
    assert loud.generation_config.to_dict() == plain.generation_config.to_dict()


def test_settings_of_training_that_are_none_are_refused(tmp_path: Path) -> None:
    agent = ilql()
    agent.decoding = LOUD
    agent.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for wrong in ([], {"spoken": {"num_q": 3}, "generation": {}}, {"spoken": {"lm_top_p": 7}, "generation": {}}):
        (tmp_path / "config.json").write_text(json.dumps({**config, "as_trained": wrong}))
        (tmp_path / "checksums.json").unlink(missing_ok=True)
        with pytest.warns(UserWarning, match="no checksums"), pytest.raises(ValueError, match=r"as_trained|top_p"):
            Agent.load(tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "reviews"
    assert cli.main(["record", "movie-review", "--episodes", "40", "--out", str(out)]) == 0
    return out


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many episodes each choice was asked to play."""
    asked: list[int] = []
    choose = decoding_choice.choose
    monkeypatch.setattr(decoding_search.decoding_choice, "choose", lambda a, e, n: asked.append(n) or choose(a, e, n))
    return asked


def train(data: Path, out: Path, *more: object) -> int:
    few = ("--steps", 1, "--batch-size", 8, *(more or ("--decoding-episodes", 2)))
    return cli.main([str(x) for x in ("train", "ilql", "--data", data, "--out", out, *few)])


def test_the_command_chooses_once_and_eval_goes_by_it(
    data: Path, tmp_path: Path, counted: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(data, out, "--decoding-episodes", 0) == 0
    assert not (out / "decoding.json").exists() and Agent.load(out / "agent").decoding is None
    assert "Chosen" not in capsys.readouterr().out
    assert cli.main(["eval", str(out), "--episodes", "2"]) == 0
    assert "greedy=true (usual)" in capsys.readouterr().out

    assert train(data, out) == 0 and counted == [2]
    said = " ".join(capsys.readouterr().out.split())
    found = decoding_file.read(out)
    assert found is not None and found.decoding == Agent.load(out / "agent").decoding == found.best["decoding"]
    assert found.best["return"] == max(row["return"] for row in found.tried)
    assert found.alone is not None and found.tried[found.alone]["decoding"]["advantage_weight"] == 0
    episodes = found.best["episodes"]
    told = "1 episode" if episodes == 1 else f"{episodes} episodes"
    assert f"earns {found.best['return']:.3f} on {told}; the language model" in said
    strongest = max(row["decoding"].get("advantage_weight", 0) for row in found.tried)
    unit = Agent.load(out / "agent").model.config.value_unit
    assert strongest == float(f"{32 / unit:.3g}") != 32  # in units of the log's spread
    assert said.count(" chosen ") == 1 and f"advantage_weight={strongest:g}" in said
    found.tried.clear()

    assert train(data, out) == 0 and counted == [2]  # finished: the table is shown again
    assert "Chosen: " in capsys.readouterr().out and Agent.load(out / "agent").decoding == found.decoding
    assert train(data, out, "--decoding-episodes", 3) == 0 and counted == [2, 3]
    assert train(data, out, "--decoding-episodes", 0) == 0 and counted == [2, 3]
    capsys.readouterr()
    for asked, where in (([], "chosen after training"), (["--set", "greedy=true"], "as asked")):
        assert cli.main(["eval", str(out), "--episodes", "2", *asked]) == 0
        assert where in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("alone", "words"),
    [
        (0, "earns 0.900 on 7 episodes; the language model alone (greedy=true) earns 0.250. The best"),
        (1, "earns 0.900 on 7 episodes; the language model speaks alone in it, so its values do not help"),
        (None, "earns 0.900 on 7 episodes. The best of many looks better than it is"),
    ],
)
def test_a_sentence_says_what_values_are_good_for(
    alone: int | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"decoding": decoding, "return": earned, "error": 0.125, "episodes": 7}
        for decoding, earned in (({"greedy": True}, 0.25), ({"top_p": 0.8}, 0.9))
    ]
    show_choice(console(), decoding_file.Chosen({"top_p": 0.8}, 7, alone, rows))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["greedy=true", "0.250", "0.125"],
        ["top_p=0.8", "0.900", "0.125", "chosen"],
    ]
    assert f"Chosen: top_p=0.8 {words}" in lines[3]


def test_interrupted_while_choosing_it_chooses_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoding_search.decoding_choice, "choose", interrupted)
        assert train(data, tmp_path / "run") == 130
    assert "Run the same command again" in capsys.readouterr().err
    assert Agent.load(tmp_path / "run" / "agent").decoding is None
    assert train(data, tmp_path / "run") == 0
    found = decoding_file.read(tmp_path / "run")
    assert found is not None and Agent.load(tmp_path / "run" / "agent").decoding == found.decoding


def test_logs_of_no_environment_leave_the_usual_decoding(data: Path, tmp_path: Path, counted: list[int]) -> None:
    logs = EpisodeDataset.load(data)
    EpisodeDataset.from_episodes(list(logs), tokenizer=logs.tokenizer()).save(tmp_path / "mine")
    env = ("--env", "MovieReview-v0", "--decoding-episodes", 2)
    with pytest.warns(UserWarning, match="recorded in no environment"):
        assert train(tmp_path / "mine", tmp_path / "run", *env) == 0 and counted == []
    assert train(tmp_path / "mine", tmp_path / "live", *env, "--logged-fraction", 0.5) == 0 and counted == [2]


@pytest.mark.parametrize("harm", ["cut", "another", "row", "alone"])
def test_a_damaged_choice_is_named_before_training(
    data: Path, tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"decoding": {}, "return": 1.0, "error": 0.0, "episodes": 2}
    whole = {"decoding": {}, "episodes": 2, "alone": 0, "tried": [row]}
    other = {"another": {"decoding": {"top_k": 1}}, "row": {"tried": [{"decoding": {}}]}, "alone": {"alone": 7}}
    text = json.dumps({**whole, **other.get(harm, {})})
    config, out = parse(["bc", "--data", str(data), "--out", str(tmp_path / "r"), "--steps", "1"])
    run._begin(config, out)
    (out / "decoding.json").write_text(text[:-9] if harm == "cut" else text)
    with pytest.raises(ValueError, match=r"decoding\.json.*Delete it, and the run chooses again"):
        run.train(config, out)
    assert not (out / "metrics.jsonl").exists()
    (out / "decoding.json").write_text(json.dumps(whole))
    assert decoding_file.read(out) is not None


def test_a_number_of_episodes_below_none_is_refused(data: Path, tmp_path: Path) -> None:
    config, out = parse(["bc", "--data", str(data), "--out", str(tmp_path / "r"), "--decoding-episodes", "-1"])
    with pytest.raises(ValueError, match="decoding_episodes is a number from 0 on"):
        run.train(config, out)
