"""``Logs-v0``, the environment of an imported log's conversations, and every command on it."""

import dataclasses
import json
import shutil
import sys
import warnings
from collections import Counter

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pytest
from chat_tokenizers import SMOLLM2, chat_tokenizer
from imported_logs import LIMITS, SHOP, messages, write_conversations, write_folder
from text_models import save_text_model

from agents import BC, LM, cli
from agents.runs.config import RunConfig
from agents.runs.environment import environment
from datasets_builders import EpisodeDataset
from lang_envs import check_env, rollout
from lang_envs.conversation import assistant, user
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.logged import FILE, Conversations, holds_out, schema
from lang_envs.make import language_vec, needed_options, of_file
from lang_envs.policies.any_task import RandomTokens
from lang_envs.rewards.regression import SequenceRegression
from lang_envs.tasks.logs import Logs
from lang_envs.tokenizers import decode, fingerprint
from lang_envs.utterances import spell


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("data") / "shop")


def call(capsys, *arguments):
    """Exit code, standard output and standard error of one command."""
    code = cli.main([str(a) for a in arguments])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


# The file


def test_conversations_are_read_in_place(shop):
    found = Conversations(shop)
    assert len(found) == len(SHOP) == 6
    assert [found.messages(i) for i in range(6)] == [messages(row["messages"]) for row in SHOP]
    assert found.messages(1, 2) == (user("hello"), assistant("good day, what can I do?"))
    assert found.held_out.tolist() == [False, False, False, True, True, False]
    assert [found.reward(1, 1), found.reward(1, 3), found.reward(5, 2)] == [1.0, None, 0.1]
    assert holds_out(shop)


def test_record_batches_make_no_difference(tmp_path):
    replies = []
    for size in (1, 4, 6):
        write_conversations(tmp_path / str(size), SHOP, batch=size)
        found = Conversations(tmp_path / str(size)).replies()
        replies.append([found.conversation.tolist(), found.place.tolist(), found.prompt.tolist()])
    assert replies[0] == replies[1] == replies[2]
    assert replies[0][0] == [0, 1, 1, 2, 3, 4, 4, 5, 5]
    assert replies[0][1] == [1, 1, 3, 2, 1, 1, 3, 0, 2]


def test_prompts_are_the_same_where_all_messages_are(tmp_path):
    told = [
        ["u:a", "a:b", "u:c", "a:1"],
        ["u:a", "a:b", "u:c", "a:2"],
        ["u:ab", "a:", "u:c", "a:3"],
        ["u:a", "u:b", "a:4"],
    ]
    told += [["s:a", "u:b", "a:5"], ["u:a", "a:b", "a:c", "a:6"]]
    write_conversations(tmp_path, [{"messages": m, "rewards": [None] * sum(t[0] == "a" for t in m)} for m in told])
    found = Conversations(tmp_path).replies()
    prompts = {(c, p): key for c, p, key in zip(found.conversation, found.place, found.prompt, strict=True)}
    assert prompts[0, 1] == prompts[1, 1] == prompts[5, 1]
    assert prompts[0, 3] == prompts[1, 3] != prompts[2, 3]
    assert len(set(prompts.values())) == 8
    assert prompts[5, 2] not in (prompts[5, 1], prompts[0, 3])  # two replies in a row: the first was said before


def table(**changed):
    row = {"id": "0", "held_out": False, "messages": [{"role": "user", "content": "x"}], "rewards": [], "row": 0}
    return pa.RecordBatch.from_pylist([{**row, **changed}], schema())


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (table(messages=[{"role": "owner", "content": "x"}]), "expected the roles .* got 'owner'"),
        (table(messages=[{"role": None, "content": "x"}]), "got null"),
        (table(messages=None), "got null"),
        (table(held_out=None), "got null"),
        (table(messages=[{"role": "assistant", "content": "x"}]), "row 0: expected a reward, or null, for each"),
        (pa.RecordBatch.from_pylist([{"id": "0"}]), "expected columns"),
    ],
)
def test_what_is_no_conversation_is_refused(batch, words, tmp_path):
    with pa.OSFile(str(tmp_path / FILE), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(CorpusError, match=words):
        Conversations(tmp_path)


def test_a_file_that_is_cut_or_missing_is_refused(shop, tmp_path):
    with pytest.raises(CorpusError, match="there is no file"):
        Conversations(tmp_path)
    (tmp_path / FILE).write_bytes((shop / FILE).read_bytes()[:-40])
    with pytest.raises(CorpusError, match="expected a whole Arrow file"):
        Conversations(tmp_path)


# The environment


def test_it_is_sound(shop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env("Logs-v0", data=str(shop), reward="chrf", split="all")


def test_it_needs_data():
    assert needed_options("Logs-v0") == ("data",)
    assert needed_options("Wordle-v0") == needed_options("CartPole-v1") == ()
    with pytest.raises(TypeError, match="Logs needs the option 'data'"):
        gym.make("Logs-v0")


def test_contexts_are_the_prompts_of_the_log(shop):
    task = Logs(shop)
    assert [task.conversation(i) for i in range(task.num_contexts)] == [
        messages(told)
        for told in (["u:hello"], SHOP[1]["messages"][:3], ["s:be brief", "u:hello"], [], ["a:welcome", "u:thanks"])
    ]
    assert task.logged_replies(0) == ("hi there", "good day, what can I do?")
    assert task.best_replies(0) == ("good day, what can I do?",)
    assert task.best_replies(1) == task.logged_replies(1) == ("for when?",)
    assert (task.max_context_tokens, task.max_utterance_tokens) == tuple(LIMITS.values())
    drawn = Counter(task.begin(np.random.default_rng(seed))[0] for seed in range(500))
    assert set(drawn) == set(range(5)) and min(drawn.values()) > 60


def test_no_prompt_is_on_both_sides(tmp_path):
    rows = [*SHOP, {"messages": ["u:hello", "a:ja?", "u:well", "a:so"], "rewards": [1.0, 1.0], "held_out": True}]
    write_conversations(tmp_path, rows)
    sides = {
        split: [Logs(tmp_path, split).conversation(i) for i in range(Logs(tmp_path, split).num_contexts)]
        for split in ("train", "held-out", "all")
    }
    assert not {*sides["train"]} & {*sides["held-out"]}
    assert (user("hello"),) in sides["train"]
    assert {*sides["train"], *sides["held-out"]} == {*sides["all"]}
    assert len(sides["all"]) == len({*sides["all"]}) == 9


def test_a_split_without_contexts_is_refused(tmp_path):
    write_conversations(tmp_path, [row for row in SHOP if not row.get("held_out")])
    with pytest.raises(
        ValueError, match=r"no context in the split 'held-out': there are 6 replies in it, 0 of them held"
    ):
        Logs(tmp_path, "held-out")
    with pytest.raises(ValueError, match="split must be one of"):
        Logs(tmp_path, "test")


def test_nothing_is_paid_unless_asked_for(shop):
    env = language_vec("Logs-v0", 2, data=str(shop))
    [episode] = rollout(env, RandomTokens(env.task, env.tokenizer), [0])
    assert (episode.ret, episode.info["rewarded"], env.task.pays) == (0.0, False, False)


@pytest.mark.parametrize(
    ("name", "least"), [("likeness", 0.99), ("bertscore", 0.99), ("bleu", 0.9), ("chrf", 1), ("meteor", 0.9)]
)
def test_likeness_is_to_the_best_reply_of_the_log(shop, name, least):
    task = Logs(shop, reward=name)
    best, other, far = task.reply_batch([0, 0, 0], ["good day, what can I do?", "hi there", "purple"], [None] * 3)
    assert best.reward >= least and best.info == {"context": 0, "rewarded": True}
    assert far.reward < best.reward > other.reward  # the log rates "hi there" lower
    unrated = Logs(shop, reward=name, split="all")
    assert unrated.reply(4, "which day?", None).reward >= least


def test_the_nearest_of_several_equally_good_replies_counts(tmp_path):
    rows = [{"messages": ["u:x", f"a:{text}"], "rewards": [None]} for text in ("first one", "another thing")]
    write_conversations(tmp_path, rows)
    task = Logs(tmp_path, reward="chrf")
    assert [r.reward for r in task.reply_batch([0, 0], ["first one", "another thing"], [None] * 2)] == [1.0, 1.0]


def test_a_function_is_given_conversations_and_replies(shop, tmp_path, monkeypatch):
    seen = []

    def length(prompts, replies):
        seen.extend(prompts)
        return [len(before) + len(reply) / 10 for before, reply in zip(prompts, replies, strict=True)]

    task = Logs(shop, reward=length)
    assert [r.reward for r in task.reply_batch([0, 1], ["abc", ""], [None] * 2)] == [1.3, 3.0]
    assert seen[0] == [{"role": "user", "content": "hello"}]
    (tmp_path / "my_rewards.py").write_text("def brief(prompts, replies):\n    return [-len(r) for r in replies]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Logs(shop, reward="my_rewards:brief").reply(0, "abcd", None).reward == -4
    with pytest.raises(ValueError, match="has no function 'long'"):
        Logs(shop, reward="my_rewards:long")
    sys.modules.pop("my_rewards")
    with pytest.raises(ValueError, match="--import my_rewards"):
        of_file("Logs-v0", {"reward": "my_rewards:brief"}, "config.json")
    assert of_file("Logs-v0", {"reward": "chrf", "data": "x:y"}, "config.json")[0] == "Logs-v0"
    assert "my_rewards" not in sys.modules


@pytest.mark.parametrize("given", [[1.0], [np.nan, 1.0], [[1.0, 2.0]], ["a", "b"]])
def test_a_reward_that_is_no_number_is_refused(shop, given):
    task = Logs(shop, reward=lambda conversations, replies: given)
    with pytest.raises(ValueError):
        task.reply_batch([0, 1], ["a", "b"], [None] * 2)


def test_a_reward_that_is_unknown_is_refused(shop):
    with pytest.raises(ValueError, match=r"a reward is one of \['likeness', .*, or the path of a model"):
        Logs(shop, reward="/nowhere/at/all")


def test_a_model_reads_the_conversation_and_the_reply(shop, tmp_path):
    path, two = tmp_path / "rm", tmp_path / "two"
    save_text_model(path, "bert", num_labels=1)
    save_text_model(two, "bert", num_labels=2)
    got = Logs(shop, reward=str(path)).reply_batch([0, 1], ["yes", "no"], [None] * 2)
    texts = ["hello", "hello\n\ngood day, what can I do?\n\na room"]
    assert [r.reward for r in got] == SequenceRegression(path)(["yes", "no"], texts).astype(float).round(3).tolist()
    assert all(0 < r.reward < 1 for r in Logs(shop, reward=str(two)).reply_batch([0, 1], ["yes", "no"], [None] * 2))


def test_it_speaks_the_tokens_of_the_data_set_within_their_limits(tmp_path):
    tokenizer = chat_tokenizer(SMOLLM2)
    folder = write_folder(tmp_path / "d", tokenizer=tokenizer)
    env = language_vec("Logs-v0", 1, data=str(folder), split="held-out")
    assert fingerprint(env.tokenizer) == EpisodeDataset.load(folder).provenance["tokenizer"]["fingerprint"]
    assert env.max_tokens == sum(LIMITS.values())  # counted in its own markup
    [episode] = rollout(env, RandomTokens(env.task, env.tokenizer), [1])
    assert decode(env.tokenizer, [episode.tokens])[0].startswith("<|im_start|>system\nYou are a small model.<|im_end|>")


def test_golden_episode(shop):
    env = language_vec("Logs-v0", 1, data=str(shop), reward="chrf")
    env.begin([0], [7])
    env.say([0], [spell(env.tokenizer, "for what day?", 16)])
    episode = env.episode(0)
    text = "<|agent|>welcome<|end|><|user|>thanks<|agent|>for what day?<|end|>"
    assert (decode(env.tokenizer, [episode.tokens])[0], round(episode.ret, 3)) == (text, 0.072)


# The commands


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ilql"
    few = ["--steps", "2", "--batch-size", "2", "--decoding-episodes", "2"]
    with warnings.catch_warnings(record=True):
        assert cli.main(["train", "ilql", "--data", str(shop), "--out", str(out), *few]) == 0
    return out


def test_training_says_once_that_nothing_is_chosen(shop, tmp_path, capsys):
    few = ("--steps", 1, "--batch-size", 2, "--decoding-episodes", 2)
    with pytest.warns(UserWarning, match="No decoding was chosen: the environment has no reward") as told:
        assert call(capsys, "train", "bc", "--data", shop, "--out", tmp_path / "a", *few)[0] == 0
    assert sum("No decoding" in str(one.message) for one in told) == 1
    assert not (tmp_path / "a" / "decoding.json").exists()
    by = ("--env-options", "reward=chrf")
    code, out, err = call(capsys, "train", "bc", "--data", shop, "--out", tmp_path / "b", *few, *by)
    assert code == 0 and "Chosen:" in out and "No decoding" not in err
    named = [line.split()[1] for line in out.partition("\nNext:\n")[2].splitlines()]
    assert named == ["eval", "ope", "chat"] and f"lang-envs chat {tmp_path / 'b'}\n" in out


def test_an_agent_is_measured_in_what_was_held_out(trained, capsys, monkeypatch):
    code, out, _ = call(capsys, "eval", trained, "--episodes", 4)
    assert code == 0 and "not known: the log does not say" in out and "return_error" not in out
    begun, begin = set(), Logs.begin_at
    monkeypatch.setattr(Logs, "begin_at", lambda s, c, rng: begun.add(s.conversation(c)) or begin(s, c, rng))
    code, out, _ = call(capsys, "eval", trained, "--episodes", 6, "--env-options", "reward=chrf")
    assert code == 0 and "not known" not in out
    assert begun == {messages(told) for told in (["u:is it open?"], ["u:a room"], SHOP[4]["messages"][:3])}
    begun.clear()
    assert call(capsys, "eval", trained, "--episodes", 8, "--env-options", "split=train")[0] == 0
    assert len(begun) == 5


def test_explain_and_ope_take_the_episodes_that_were_held_out(trained, capsys):
    code, out, _ = call(capsys, "explain", trained)
    assert code == 0 and "until six" in out and "which day?" in out
    code, out, _ = call(capsys, "ope", trained, "--fitted-steps", 0, "--set", "greedy=false")
    assert code == 0 and "2 logged episodes, with a mean return of 0.900" in out


def test_samples_are_of_the_conversations_to_train_on(trained, shop, tmp_path, capsys):
    few = ("--per-context", 1, "--out", tmp_path / "s")
    code, _, _ = call(capsys, "record", "samples", "--policy", trained, *few)
    assert code == 0
    found = EpisodeDataset.load(tmp_path / "s")
    assert len(found) == 6 + 5 and found.provenance["rewards"] == "none"
    config = RunConfig("bc", {}, {}, 1, data=str(tmp_path / "s"))
    assert environment(config, 1).task.data == shop  # which the samples name


def test_play_and_chat_need_no_environment(trained, capsys, monkeypatch, tmp_path):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    code, out, _ = call(capsys, "play", "--agent", trained)
    assert code == 0 and "Nothing says what was earned" in out and "Return 0" not in out
    shutil.copytree(trained / "agent", tmp_path / "agent")  # says nothing of any environment
    monkeypatch.setattr("sys.stdin", io.StringIO("a room\nfriday\n"))
    code, out, _ = call(capsys, "chat", tmp_path / "agent", "--set", "max_new_tokens=4")
    assert code == 0 and len(out.splitlines()) >= 2


def test_where_nothing_is_paid_a_distilled_model_claims_no_return(trained, tmp_path, capsys):
    few = ("--steps", 1, "--batch-size", 2, "--episodes", 2, "--set", "advantage_weight=1")
    code, out, error = call(capsys, "distil", trained, "--out", tmp_path / "plain", *few)
    assert code == 0 and "divergence" in out and "return of" not in out and "not known" in out, error
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "The returns of both are unknown" in card and "| return" not in card


def test_a_folder_may_be_moved(shop, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(shop, first)
    few = ("--steps", 1, "--batch-size", 2, "--decoding-episodes", 0)
    assert call(capsys, "train", "bc", "--data", first, "--out", tmp_path / "run", *few)[0] == 0
    first.rename(second)
    assert call(capsys, "train", "bc", "--data", second, "--out", tmp_path / "again", *few)[0] == 0
    code, _, err = call(capsys, "eval", tmp_path / "run", "--episodes", 2)
    assert code == 2 and "there is no data set at" in err
    assert call(capsys, "eval", tmp_path / "run", "--episodes", 2, "--env-options", f"data={second}")[0] == 0


def test_live_episodes_need_a_reward(shop, tmp_path, capsys):
    few = ("--steps", 1, "--batch-size", 2, "--decoding-episodes", 0, "--out", tmp_path / "run")
    for source in (("--data", shop, "--logged-fraction", 0.5), ("--env", "Logs-v0", "--env-options", f"data={shop}")):
        code, _, err = call(capsys, "train", "bc", *source, *few)
        assert code == 2 and "--env-options reward=" in err
    assert (
        call(capsys, "train", "bc", "--data", shop, "--logged-fraction", 0.5, "--env-options", "reward=chrf", *few)[0]
        == 0
    )


def test_tokens_of_another_model_are_refused_with_the_command_to_import_by(shop, tmp_path, capsys):
    tokenizer = chat_tokenizer(SMOLLM2)
    other = language_vec("Dialogue-BLEU-v0", 1, tokenizer=tokenizer)
    folder = BC(LM.from_scratch("d64-l2", other)).save(tmp_path / "model")
    few = ("--steps", 1, "--batch-size", 2, "--decoding-episodes", 0)
    code, _, err = call(capsys, "train", "bc", "--data", shop, "--lm", folder, "--out", tmp_path / "run", *few)
    assert code == 2
    assert f"lang-envs import FILE --tokenizer {folder}" in " ".join(err.split())
    spelled = write_folder(tmp_path / "d", tokenizer=tokenizer)
    code, _, _ = call(capsys, "train", "bc", "--data", spelled, "--lm", folder, "--out", tmp_path / "run", *few)
    assert code == 0


def test_the_provenance_does_not_say_where_the_folder_is(shop):
    kwargs = json.loads((shop / "provenance.json").read_text())["env"]["kwargs"]
    assert kwargs == LIMITS
    config = RunConfig("bc", {}, {}, 1, data=str(shop))
    assert environment(config, 1).task.data == shop
    asked = dataclasses.replace(config, env="Logs-v0", env_options={"max_response_tokens": 9})
    assert environment(asked, 1).task.max_utterance_tokens == 9
