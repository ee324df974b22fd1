"""Values of each token, ``lang-envs explain``, and the commands of its page in the docs."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import TOKENIZER, make_model

from agents import AGENTS, cli
from agents.evaluation.explain import explain, next_tokens, spoken
from lang_envs.episode import Episode
from lang_envs.make import language_vec

PAGE = (Path(__file__).parents[1] / "docs" / "explain.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.strip().splitlines()]
FEW = {"--steps": "3", "--warmup-steps": "0", "--episodes": "60"}


def command(line):
    """A command of the page, with few steps."""
    words = shlex.split(line)[1:]
    for before, word in enumerate(words[:-1]):
        words[before + 1] = FEW.get(word, words[before + 1])
    return words + (["--decoding-episodes", "2"] if words[0] == "train" else [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page's commands were run, with an agent without values beside."""
    folder = tmp_path_factory.mktemp("explain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in COMMANDS:
            if line.split()[1] in ("record", "train"):
                assert cli.main(command(line)) == 0, line
        assert cli.main(command("lang-envs train bc --data data/reviews --out runs/bc --steps 1")) == 0
    return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Runs a command there -> its exit code, output and errors."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        code = cli.main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


def test_the_commands_of_the_page_run(folder, call):
    explained = [line for line in COMMANDS if line.split()[1] not in ("record", "train")]
    assert len(explained) >= 8
    for line in explained:
        code, out, err = call(*command(line))
        assert code == 0, f"{line}\n{err}"
        if "--numbers" in line:
            assert re.search(r"token +Q +V +advantage +reward", out)
        if "--next" in line:
            assert "left open" in out and "language model" in out
    assert "awful</span>" in (folder / "ilql.html").read_text()


def test_the_page_of_an_episode_needs_nothing_else(folder, call):
    code, _, _ = call("explain", "runs/ilql", "--text", "the movie wasn't", "--next", 3, "--html", "pages/a.html")
    assert code == 0
    page = (folder / "pages" / "a.html").read_text()
    assert "wasn&#x27;t" in page and "Token by token" in page and "What could come next" in page
    assert "<script" not in page and "http" not in page and "$" not in page
    assert not list((folder / "pages").glob("*.partial"))


def test_who_cannot_be_explained_is_told_who_can(call):
    code, out, _ = call("explain", "runs/bc", "--episodes", 1)
    assert code == 0 and "review : " in out  # without colours
    code, _, err = call("explain", "runs/bc", "--text", "the movie was good")
    assert code == 2
    said = set(re.search(r"train one of ([\w, ]+)", err)[1].split(", "))
    assert said == {name for name, agent in AGENTS.items() if agent.needs_values} >= {"ilql", "awr", "cql", "psi"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--text", "the movie was horrible"], "has no tokens for 'horrible'; choose one of"),
        (["--text", "the movie was good", "it was superb"], "over after 1 of 2 texts"),
        (["--next", 3], 'pass --text "..." too'),
    ],
)
def test_texts_that_cannot_be_said(call, arguments, expected):
    code, _, err = call("explain", "runs/ilql", *arguments)
    assert code == 2
    assert expected in err


def test_a_text_is_said_in_the_agents_place():
    env = language_vec("MovieReview-v0", 1)
    whole = spoken(env, ["the movie was great"], seed=0)
    assert whole.terminated and whole.ret == pytest.approx(0.6)
    assert env.tokenizer.decode(whole.tokens) == "review : the movie was great </s>"
    left = spoken(env, ["the movie was great"], seed=0, leave_open=True)
    assert np.array_equal(left.tokens, whole.tokens[:-1])
    assert np.array_equal(left.is_action, whole.is_action[:-1])
    assert (left.ret, left.terminated) == (0, False)


def test_the_next_tokens_are_the_language_models_bent_by_their_advantages():
    history = np.array([3, 1, 4, 1, 5], np.int32)
    model = make_model("separate")
    found = next_tokens(model, TOKENIZER, history, 6)
    logp = model.lm(torch.tensor(history[None].astype(np.int64))).logits[0, -1].detach().log_softmax(-1).numpy()
    assert [one.prior for one in found] == pytest.approx(np.sort(np.exp(logp))[::-1][:6], rel=1e-4)
    # log pi = log prior + weight (Q - V) + a constant of the state
    constants = [np.log(x.policy) - np.log(x.prior) - model.config.advantage_weight * (x.q - x.v) for x in found]
    assert np.ptp(constants) == pytest.approx(0, abs=1e-3)
    assert len({round(x.q, 4) for x in found}) > 1
    token = int(TOKENIZER(found[2].token)["input_ids"][0])
    tokens = np.append(history, token).astype(np.int32)
    acted = np.arange(6) == 5
    episode = Episode(tokens, acted, np.zeros(6, np.float32), terminated=False, truncated=True)
    assert explain(model, TOKENIZER, episode).q[-1] == pytest.approx(found[2].q, abs=1e-5)


def test_values_of_utterances_are_none_of_the_next_token():
    with pytest.raises(TypeError, match="no values of the next token"):
        next_tokens(make_model("shared", q_head="utterance", advantage_weight=0.0), TOKENIZER, np.array([1]), 2)


def test_utterances_that_the_limit_ended_have_values_of_their_own():
    model = make_model("shared", q_head="utterance", advantage_weight=0.0)
    tokens, acted = np.arange(1, 8, dtype=np.int32), np.arange(7) > 0
    episode = Episode(tokens, acted, np.zeros(7, np.float32), terminated=True)
    for limit, ends in ((None, [6]), (3, [3, 6]), (2, [2, 4, 6])):
        assert np.flatnonzero(~np.isnan(explain(model, TOKENIZER, episode, limit).q)).tolist() == ends
