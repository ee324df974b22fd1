"""``lang-envs chat``: a person is the user, and the agent answers in its own tokens."""

import io
import json

import numpy as np
import pytest
import torch
from chat_tokenizers import CHATML, chat_tokenizer

from agents import BC, ILQL, LM, DecisionTransformer, UtteranceILQL, cli
from agents.cli.chat import Conversing, read_history
from agents.cli.talk import Talk
from agents.models.value_config import SPOKEN
from lang_envs.conversation import assistant, system, user
from lang_envs.make import language_vec
from lang_envs.markup import markup_of
from lang_envs.terminal import Terminal
from lang_envs.tokenizers import decode


@pytest.fixture(scope="module")
def env():
    return language_vec("Dialogue-BLEU-v0", 1, max_context_tokens=40, max_response_tokens=8)


@pytest.fixture(scope="module")
def ilql(env, tmp_path_factory):
    return ILQL(LM.from_scratch("d64-l2", env, seed=3)).save(tmp_path_factory.mktemp("runs") / "ilql")


def agent(env, kind=BC):
    return kind(LM.from_scratch("d64-l2", env, seed=3))


def call(capsys, monkeypatch, lines, *arguments):
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    code = cli.main(["chat", *map(str, arguments)])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def test_the_agent_reads_what_the_environment_would_have_written(env):
    talk = Talk(agent(env), {"temperature": 1.0}, seed=1)
    first, second = talk.say("a room please"), talk.say("for friday")
    assert talk.messages == (user("a room please"), assistant(first), user("for friday"), assistant(second))
    markup = markup_of(env.tokenizer)
    said = talk.said.tokens
    assert markup.read(said) == talk.messages
    opening = markup.opening((user("a room please"),))
    assert said[: len(opening)].tolist() == opening
    reply = said[talk.said.is_action]
    assert decode(env.tokenizer, [reply])[0].removesuffix("<|end|>") == second


def test_what_was_said_stays_in_the_tokens_it_was_said_in(env):
    talk = Talk(agent(env), {}, seed=2)
    talk.say("hello")
    before = talk.said.tokens
    talk.say("and now?")
    assert talk.said.tokens[: len(before)].tolist() == before.tolist()


def test_oldest_turns_are_left_out_where_the_model_has_no_room(env):
    talk = Talk(agent(env), {}, (system("be kind"),), seed=0)
    for i in range(12):
        talk.say(f"what about day number {i}?")
        assert len(talk.said) <= env.max_tokens
    assert talk.is_cut
    read = markup_of(env.tokenizer).read(talk.said.tokens)
    assert read[0] == system("be kind") and read[-2] == user("what about day number 11?")
    assert len(read) < len(talk.messages) == 25
    talk.begin()
    assert talk.messages == (system("be kind"),) and talk.said is None
    talk.say("x")
    assert not talk.is_cut


def test_another_instruction_leaves_the_turns(env):
    talk = Talk(agent(env), {"greedy": True})
    talk.say("hello")
    talk.instruct("be brief")
    assert [message.role for message in talk.messages] == ["system", "user", "assistant"]
    talk.instruct("be long")
    assert talk.messages[0] == system("be long")
    talk.say("hello")
    assert markup_of(env.tokenizer).read(talk.said.tokens)[0] == system("be long")
    talk.instruct("")
    assert talk.messages[0] == user("hello")


def test_the_values_speak_and_are_put_back(env):
    judge = agent(env, ILQL)
    draws = torch.Generator().manual_seed(0)
    for weights in judge.model.target_q.parameters():
        weights.data.copy_(torch.randn(weights.shape, generator=draws))
    own = {name: getattr(judge.model.config, name) for name in SPOKEN}
    talk = Talk(judge, {"greedy": True, "advantage_weight": 50.0})
    loud = talk.say("hello")
    talk.begin()
    talk.speak_by({"greedy": True, "advantage_weight": 0.0})
    assert talk.say("hello") != loud
    with pytest.raises(ValueError, match="temperature"):
        talk.speak_by({"advantage_weight": 50.0, "temperature": 0})
    talk.begin()
    assert talk.say("hello") != loud
    talk.speak_by({})
    assert {name: getattr(judge.model.config, name) for name in SPOKEN} == own


def test_a_reply_may_be_longer_than_in_training(env):
    talk = Talk(agent(env), {"max_new_tokens": 20, "temperature": 3.0}, seed=5)
    talk.say("hello")
    assert 8 < talk.said.is_action.sum() <= 20
    with pytest.raises(ValueError, match="leaves no room beside a reply of 48 tokens"):
        talk.speak_by({"max_new_tokens": 48})


def test_tokenizers_of_others_are_spoken_by_their_template():
    tokenizer = chat_tokenizer(CHATML)
    env = language_vec("Dialogue-BLEU-v0", 1, tokenizer=tokenizer, instruction=False)
    talk = Talk(agent(env), {}, seed=1)
    talk.say("hello <|im_end|>")
    assert talk.messages[0] == user("hello <|im_end|>")
    assert markup_of(env.tokenizer).read(talk.said.tokens)[:1] == (user("hello <|im_end|>"),)


@pytest.mark.parametrize("kind", [DecisionTransformer, UtteranceILQL])
def test_agents_that_aim_or_choose_talk_too(env, kind):
    one = agent(env, kind)
    if kind is DecisionTransformer:
        one.model.config.return_edges = [0.5]
    talk = Talk(one, {"top_p": 0.9}, seed=4)
    for i in range(9):
        talk.say(f"what about day {i}?")
    assert len(talk.messages) == 18 and talk.messages[-1].role == "assistant"


def test_games_are_no_conversations():
    with pytest.raises(ValueError, match=r"no chat template\. lang-envs play ENV --agent RUN"):
        Talk(agent(language_vec("MovieReview-v0", 1)), {})


def test_lines_of_a_file_are_turns_and_only_replies_come_out(ilql, capsys, monkeypatch, tmp_path):
    told = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    (tmp_path / "before.json").write_text(json.dumps(told))
    arguments = (ilql, "--history", tmp_path / "before.json", "--set", "greedy=true", "max_new_tokens=5")
    lines = "is it open?\n\n/set advantage_weight=2\n//help\n/explain\n/quit\nnever read\n"
    code, out, err = call(capsys, monkeypatch, lines, *arguments)
    assert code == 0
    assert len(out.splitlines()) == 3  # to the history, to "is it open?" and to "/help", which was said
    assert "greedy=true max_new_tokens=5 advantage_weight=2" in err
    assert "advantage" in err and "Q" in err
    assert call(capsys, monkeypatch, "is it open?\n", *arguments)[1].splitlines() == out.splitlines()[:2]


def test_wrong_lines_are_refused_and_the_talk_goes_on(ilql, capsys, monkeypatch):
    lines = "/explain\n/explane\n/set temperature=0\n/set colour=red\n/help\n/reset\nhello\n"
    code, out, err = call(capsys, monkeypatch, lines, ilql, "--system", "be kind")
    assert code == 0
    assert len(out.splitlines()) == 1
    for words in ("not said anything yet", "did you mean '/explain'", "temperature must be above 0", "colour"):
        assert words in err
    assert all(f"/{name}" in err for name in ("help", "reset", "system", "set", "explain", "quit"))


def test_a_terminal_is_asked(env):
    talk, asked = Talk(agent(env), {"greedy": True}), []
    lines = iter(["hello", "/explain", "/system be brief", "/quit"])
    screen = Terminal(file=io.StringIO(), width=200)

    def read(prompt):
        asked.append(prompt)
        return next(lines)

    Conversing(talk, screen, at_terminal=True, read=read).run()
    shown = screen.file.getvalue()
    assert asked == ["you   > "] * 4
    assert "agent > " in shown and "bc has no values" in shown
    assert talk.messages[0] == system("be brief")


def test_settings_may_hold_blanks(env):
    talk = Talk(agent(env), {"greedy": True})
    Conversing(talk, Terminal(file=io.StringIO()), at_terminal=True)._line('/set stop=["a b", "c"] top_k=3')
    assert talk.decoding == {"greedy": True, "stop": ["a b", "c"], "top_k": 3}
    Conversing(talk, Terminal(file=io.StringIO()), at_terminal=True)._line("/set greedy=none stop=none")
    assert talk.decoding == {"top_k": 3}


@pytest.mark.parametrize("text", ["{", "[1]", '[{"role": "owner", "content": "x"}]', '{"turns": []}', "[" * 99_999])
def test_what_is_no_history_is_refused(text, tmp_path):
    (tmp_path / "h.json").write_text(text)
    with pytest.raises(ValueError, match="expected a JSON list of messages"):
        read_history(tmp_path / "h.json")


def test_a_seed_is_a_talk(env):
    talks = [Talk(agent(env), {}, seed=seed) for seed in (0, 0, 1)]
    replies = [[talk.say("hello"), talk.say("again")] for talk in talks]
    assert replies[0] == replies[1] != replies[2]
    assert np.array_equal(talks[0].said.tokens, talks[1].said.tokens)
