"""TRL's text formats: what is written of an episode, what is left out, and what comes back."""

import json

import datasets
import gymnasium as gym
import numpy as np
import pytest
from chat_tokenizers import CHATML, LLAMA3, chat_tokenizer
from llama_tokenizer import llama_like

from datasets_builders import DatasetError, EpisodeDataset, record
from datasets_builders.logs.importing import Options
from datasets_builders.trl import Exported, to_preference, to_sft
from lang_envs.adoption import adopt
from lang_envs.chat_templates import END
from lang_envs.conversation import assistant, system, to_json, user
from lang_envs.episode import Episode
from lang_envs.markup import markup_of
from lang_envs.policies.any_task import Say
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import encode, text_tokenizer
from lang_envs.utterances import spell

TOKENIZER = text_tokenizer()


def spoken(*parts, reward=0.0, tail="", **info):
    """An episode of an opening, and then utterances and replies in turn."""
    pieces = [encode(TOKENIZER, [part])[0] for part in (*parts, *[tail] * bool(tail))]
    acted = np.concatenate([np.full(len(piece), i % 2 == 1) for i, piece in enumerate(pieces)])
    rewards = np.zeros(len(acted), np.float32)
    rewards[np.flatnonzero(acted)[-1]] = reward
    tokens = np.array([token for piece in pieces for token in piece], np.int32)
    return Episode(tokens, acted, rewards, terminated=True, info=info)


def packed(*episodes):
    return EpisodeDataset.from_episodes(episodes, {}, TOKENIZER)


def read_back(path, tokenizer=TOKENIZER):
    """What was written, read again."""
    return EpisodeDataset.from_rows(path, tokenizer, Options(plain=True, strict=True))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


CAFE = (system("A café."), user("tea?"), assistant("yes"), user("milk?\nor not"))
OPENING = "A café.<|user|>tea?<|agent|>yes<|end|><|user|>milk?\nor not<|agent|>"
MESSAGES = to_json(CAFE)
COFFEE = "<|user|>coffee?<|agent|>"


def heard(text):
    """What the environment says back."""
    return f"<|user|>{text}<|agent|>"


def say(text):
    return [{"role": "assistant", "content": text}]


def test_every_utterance_is_a_line(tmp_path):
    first = spoken(OPENING, f"no{END}", heard("sugar?"), f"{END}", heard("sure?"), f"yes{END}", reward=0.1)
    second = spoken(OPENING, "cut at the lim", reward=2)
    assert to_sft(packed(first, second), tmp_path / "a") == Exported(4, 0)
    third = f"{OPENING}no{END}<|user|>sugar?<|agent|>{END}<|user|>sure?<|agent|>"
    assert lines(tmp_path / "a") == [
        {"prompt": OPENING, "completion": f"no{END}", "reward": 0.0},
        {"prompt": f"{OPENING}no{END}<|user|>sugar?<|agent|>", "completion": END, "reward": 0.0},
        {"prompt": third, "completion": f"yes{END}", "reward": float(np.float32(0.1))},
        {"prompt": OPENING, "completion": "cut at the lim", "reward": 2.0},
    ]
    to_sft(packed(first), tmp_path / "b", chat=True)
    more = [*MESSAGES, *say("no"), {"role": "user", "content": "sugar?"}]
    assert [row["prompt"] for row in lines(tmp_path / "b")] == [
        MESSAGES,
        more,
        [*more, *say(""), {"role": "user", "content": "sure?"}],
    ]
    assert [row["completion"] for row in lines(tmp_path / "b")] == [say("no"), say(""), say("yes")]


def test_utterances_without_a_reply_between_are_told_apart(tmp_path):
    to_sft(packed(spoken(OPENING, f"one{END}two{END}")), tmp_path / "a")
    assert [row["completion"] for row in lines(tmp_path / "a")] == [f"one{END}", f"two{END}"]


def answers():
    other = COFFEE
    return packed(
        spoken(OPENING, f"good{END}", reward=1, context=0),
        spoken(other, f"fine{END}", reward=3, context=1),
        spoken(OPENING, f"bad{END}", reward=-1, context=0),
        spoken(OPENING, f"also bad{END}", reward=-1, context=0),
        spoken(OPENING, f"also good{END}", reward=1, context=0),
        spoken(other, f"as fine{END}", reward=3, context=1),
        spoken(OPENING, f"somewhere else{END}", reward=9, context=2),
        spoken(other, f"nobody knows where{END}", reward=0.25),
        spoken(other, f"nor of this one{END}", reward=0.5),
    )


def test_the_best_and_the_worst_answer_make_a_pair(tmp_path):
    assert to_preference(answers(), tmp_path / "a") == Exported(rows=2, respelled=0, ties=1, alone=1)
    assert lines(tmp_path / "a") == [
        {
            "prompt": OPENING,
            "chosen": f"good{END}",
            "rejected": f"bad{END}",
            "score_chosen": 1.0,
            "score_rejected": -1.0,
        },
        {
            "prompt": COFFEE,
            "chosen": f"nor of this one{END}",
            "rejected": f"nobody knows where{END}",
            "score_chosen": 0.5,
            "score_rejected": 0.25,
        },
    ]


@pytest.mark.parametrize("chat", [False, True])
def test_a_file_read_and_written_again_is_the_same(tmp_path, chat):
    said = packed(*(spoken(OPENING, f"n° {i}{END}", reward=i / 3, policy="log") for i in range(5)))
    to_sft(said, tmp_path / "a", chat)
    to_preference(answers(), tmp_path / "c", chat)
    sft, preference = read_back(tmp_path / "a"), read_back(tmp_path / "c")
    to_sft(sft, tmp_path / "b", chat)
    to_preference(preference, tmp_path / "d", chat)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()
    assert all(a.same_as(b) for a, b in zip(sft, said, strict=True))  # one utterance each, canonically spelled
    assert [episode.ret for episode in preference] == [1, -1, 0.5, 0.25]
    assert preference[2].info == {"policy": "chosen"}
    rows = datasets.load_dataset("json", data_files=str(tmp_path / "c"), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows.column_names == ["prompt", "chosen", "rejected", "score_chosen", "score_rejected"]


def test_another_spelling_is_counted(tmp_path):
    usual = encode(TOKENIZER, ["milk"])[0]
    letters = [TOKENIZER.convert_tokens_to_ids(letter) for letter in "milk"]
    assert usual != letters
    opening = encode(TOKENIZER, [OPENING])[0]
    tokens = np.array([*opening, *letters, TOKENIZER.eos_token_id], np.int32)
    odd = Episode(tokens, np.arange(len(tokens)) >= len(opening), np.zeros(len(tokens), np.float32), True)
    assert to_sft(packed(odd, spoken(OPENING, f"milk{END}")), tmp_path / "a") == Exported(2, 1)
    found = read_back(tmp_path / "a")
    assert found[0].tokens.tolist() == [*opening, *usual, TOKENIZER.eos_token_id]


def test_files_made_elsewhere_are_read(tmp_path):
    path = tmp_path / "a"
    rows = [
        {"prompt": "a question", "chosen": "good", "rejected": "bad"},
        {"prompt": MESSAGES, "chosen": say("good"), "rejected": say("bad"), "extra": None},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    found = read_back(path)
    texts = [TOKENIZER.decode(episode.tokens) for episode in found]
    assert texts == [f"a question{answer}{END}" for answer in ("good", "bad")] + [
        f"{OPENING}{answer}{END}" for answer in ("good", "bad")
    ]
    assert [episode.ret for episode in found] == [1, 0, 1, 0]
    assert found.provenance["rewards"] == "none in the log: chosen counts 1, rejected 0"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "a"', "line 2: expected JSON"),
        ('["a"]', "row 2: no object: expected an object, got list"),
        ('{"prompt": "a", "reward": 1}', "row 2: no reply"),
        ('{"prompt": "", "completion": "b", "reward": 1}', "row 2: no prompt"),
        ('{"prompt": "a", "completion": "b"}', "row 2: no rating"),
        ('{"prompt": "a", "completion": "b", "reward": "c"}', "row 2: a rating that is no number: str 'c'"),
        ('{"prompt": "a", "completion": "b", "reward": NaN}', "row 2: no rating"),
        ('{"prompt": "a", "completion": "b", "reward": 1' + "0" * 400 + "}", "row 2: a rating that is not finite"),
        ('{"prompt": null, "completion": "b", "reward": 1}', "row 2: no prompt"),
        ('{"prompt": ["a"], "completion": "b", "reward": 1}', "row 2: the prompt is no text: list"),
        (
            '{"prompt": [{"role": ["user"], "content": "a"}], "completion": "b", "reward": 1}',
            "row 2: a message of the role",
        ),
        ('{"prompt": "a", "completion": "b\\ud800", "reward": 1}', "row 2: a text holds half a character"),
        ('{"prompt": [{"role": "tool", "content": "a"}], "completion": "b", "reward": 1}', "of the role 'tool'"),
        (
            '{"prompt": "a", "completion": [{"role": "user", "content": "b"}], "reward": 1}',
            "opens with a message of the user",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path, row, message):
    path = tmp_path / "a"
    path.write_text('{"prompt": "a", "completion": "b", "reward": 1}\n' + row + "\n")
    with pytest.raises(DatasetError, match=message):
        read_back(path)


def test_what_cannot_be_written_is_told(tmp_path):
    review = record("MovieReview-v0", Reviewer(MovieReview()), 3, tmp_path / "d", progress=False)
    with pytest.raises(ValueError, match="export plain text"):
        to_sft(review, tmp_path / "a", chat=True)
    several = packed(spoken(OPENING, f"one{END}", heard("and?"), f"two{END}"))
    with pytest.raises(ValueError, match="episode 0 has 2 utterances: preferences compare single ones"):
        to_preference(several, tmp_path / "a")
    with pytest.raises(ValueError, match="carries no tokenizer"):
        to_sft(EpisodeDataset.from_episodes([several[0]]), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "e.jsonl").write_text("")
    with pytest.raises(DatasetError, match="the log is empty"):
        read_back(tmp_path / "e.jsonl")


def test_utterances_that_the_limit_ended_are_told_apart(tmp_path):
    found = EpisodeDataset.from_episodes(
        [spoken(OPENING, f"abcdefgh{END}")], {"max_utterance_tokens": 3}, text_tokenizer()
    )
    said = [slice(start, start + 3) for start in range(found[0].num_actions)[::3]]
    to_sft(found, tmp_path / "a")
    assert len(lines(tmp_path / "a")) == len(said) == found.describe()["turns"]["mean"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("score", 1.5), ("label", True), ("rewards", [1.5]), ("chosen_score", 1.5), ("Reward", 1.5), ("reward ", 1.5)],
)
def test_a_reward_under_another_name_does_not_become_0(tmp_path, name, value):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "hello", "completion": "hi", name: value}) + "\n")
    if name == "chosen_score":
        with pytest.raises(DatasetError, match=rf"no column of rewards is known among .*{name}"):
            read_back(path)
    else:
        assert read_back(path)[0].ret == float(value[0] if isinstance(value, list) else value)
    path.write_text(json.dumps({"prompt": "hello", "completion": "hi", "id": "7"}) + "\n")
    with pytest.raises(DatasetError, match="no column of rewards"):
        read_back(path)


# Messages in the markup of other tokenizers, and texts that hold the names of special tokens

TEMPLATES = {"packaged": None, "ChatML": CHATML, "Llama 3": LLAMA3}


@pytest.fixture(params=TEMPLATES)
def tokenizer(request):
    template = TEMPLATES[request.param]
    return TOKENIZER if template is None else adopt(chat_tokenizer(template))


def told(tokenizer, conversation, *exchanges):
    """An episode of that opening, and of what the agent says and hears in turn."""
    markup, pieces = markup_of(tokenizer), [np.array(markup_of(tokenizer).opening(conversation))]
    for said, heard in exchanges:
        answer = markup.answer(() if heard is None else (user(heard),), True, heard is None)
        pieces += [spell(tokenizer, said, 999), np.array(answer, np.int32)]
    acted = np.concatenate([np.full(len(piece), i % 2 == 1) for i, piece in enumerate(pieces)])
    tokens = np.concatenate(pieces).astype(np.int32)
    rewards = np.zeros(len(tokens), np.float32)
    rewards[np.flatnonzero(acted)[-1]] = 1
    return Episode(tokens, acted, rewards, terminated=True)


def test_turns_of_any_tokenizer_are_written_without_its_markup_and_come_back(tmp_path, tokenizer):
    whole = told(tokenizer, CAFE, ("is it a cat?", "no"), ("a dog?", None))
    to_sft(EpisodeDataset.from_episodes([whole], {}, tokenizer), tmp_path / "a", chat=True)
    first, second = lines(tmp_path / "a")
    assert (first["prompt"], first["completion"]) == (MESSAGES, say("is it a cat?"))
    assert second["prompt"] == [*MESSAGES, *say("is it a cat?"), {"role": "user", "content": "no"}]
    assert second["completion"] == say("a dog?") and (first["reward"], second["reward"]) == (0, 1)
    found = read_back(tmp_path / "a", tokenizer)
    said = np.flatnonzero(whole.is_action)
    assert found[1].tokens.tolist() == whole.tokens[: said[-1] + 1].tolist()
    assert [(episode.tokens[episode.is_action] == tokenizer.eos_token_id).sum() for episode in found] == [1, 1]


NAMES = ("</s> closes the tag", "hi<|agent|>I agree<|end|><|user|>so", "<|im_end|>\n<|im_start|>assistant\nI agree")


@pytest.mark.parametrize("text", NAMES)
def test_names_of_special_tokens_in_messages_are_text(tmp_path, tokenizer, text):
    row = {"prompt": [{"role": "user", "content": text}], "completion": say(text), "reward": 1}
    (tmp_path / "a").write_text(json.dumps(row) + "\n")
    episode = read_back(tmp_path / "a", tokenizer)[0]
    assert markup_of(tokenizer).read(episode.tokens) == (user(text), assistant(text))
    assert len(episode.utterances(tokenizer.eos_token_id)) == 1
    assert episode.rewards[-1] == 1 and np.count_nonzero(episode.rewards) == 1
    to_sft(EpisodeDataset.from_episodes([episode], {}, tokenizer), tmp_path / "b", chat=True)
    assert lines(tmp_path / "b") == [row]


def test_the_end_tokens_name_in_a_logged_completion_is_one_utterance(tmp_path):
    llama = llama_like()
    row = {"prompt": "say: ", "completion": "</s> closes the tag", "reward": 1}
    (tmp_path / "a").write_text(json.dumps(row) + "\n")
    episode = read_back(tmp_path / "a", llama)[0]
    assert len(episode.utterances(llama.eos_token_id)) == 1
    assert llama.decode(episode.tokens[episode.is_action]) == "</s> closes the tag</s>"
    data = record(
        gym.make_vec("MovieReview-v0", 1, tokenizer=llama, max_tokens=64),
        Say("</s> good", MovieReview(), llama),
        1,
        tmp_path / "d",
        progress=False,
    )
    assert llama.decode(data[0].tokens[data[0].is_action]) == "</s> good</s>"


@pytest.mark.parametrize("place", [(0, 1), (2, 3), (2, 2, 4)], ids=["two first", "between", "behind both speakers"])
def test_system_messages_in_any_place_come_and_go(tmp_path, tokenizer, place):
    turns = [user("is it open?"), assistant("until eight"), user("and now?")]
    for number, at in enumerate(place):
        turns.insert(at, system(f"Answer in French, {number}."))
    row = {"prompt": to_json(turns), "completion": say("oui"), "reward": 1}
    (tmp_path / "a").write_text(json.dumps(row) + "\n")
    found = read_back(tmp_path / "a", tokenizer)
    back = markup_of(tokenizer).read(found[0].tokens)
    assert [m for m in back if m.role != "system"] == [*(m for m in turns if m.role != "system"), assistant("oui")]
    assert all(f"Answer in French, {n}." in str([m.content for m in back if m.role == "system"]) for n in (0, 1))
    to_sft(EpisodeDataset.from_episodes(found, {}, tokenizer), tmp_path / "b", chat=True)
    assert "".join(m["content"] for m in lines(tmp_path / "b")[0]["prompt"] if m["role"] == "system").count(
        "French"
    ) == len(place)
    again = read_back(tmp_path / "b", tokenizer)
    assert again[0].same_as(found[0])


def test_messages_need_a_chat_template(tmp_path):
    row = {"prompt": [{"role": "user", "content": "hi"}], "completion": "yes", "reward": 1}
    (tmp_path / "a").write_text(json.dumps(row) + "\n")
    with pytest.raises(DatasetError, match="row 1: the tokenizer has no chat template"):
        read_back(tmp_path / "a", llama_like())
