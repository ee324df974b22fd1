"""Layouts of logs: each is recognised; odd rows are read as they were meant, or left out with a reason."""

import json

import numpy as np
import pytest

from datasets_builders import DatasetError, EpisodeDataset
from datasets_builders.logs.importing import STRICT, Import, Options
from datasets_builders.logs.layouts import LAYOUTS
from datasets_builders.logs.rows import as_given
from datasets_builders.logs.table import Named
from lang_envs.conversation import assistant, user
from lang_envs.markup import markup_of
from lang_envs.tokenizers import text_tokenizer, word_tokenizer

TOKENIZER = text_tokenizer()
ROWS, ODD = 20, 7


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def heard(i):
    return f"question {i} about tea?"


def side(i, said, *before):
    return [*before, turn("user", heard(i)), turn("assistant", said)]


def other(i):
    return f"other {i}"


# Each makes row i of a log whose reply is ``said`` and worth ``worth``.
ONE = {
    "answers": lambda i, said, worth: {"question": heard(i), "answer": said, "rating": worth},
    "alpaca": lambda i, said, worth: {"instruction": heard(i), "input": "", "output": said, "score": worth},
    "messages": lambda i, said, worth: {"messages": side(i, said), "rating": worth},
    "messages, each rated": lambda i, said, worth: {
        "messages": [*side(i, said)[:-1], turn("assistant", said, rating=worth)]
    },
    "sharegpt": lambda i, said, worth: {
        "conversations": [{"from": "human", "value": heard(i)}, {"from": "gpt", "value": said}],
        "score": worth,
    },
    "tree-nested": lambda i, said, worth: {
        "prompt": turn("prompter", heard(i), replies=[turn("assistant", said, score=worth, replies=[])]),
        "score": None,
    },
}
TWO = {
    "preference": lambda i, said, worth: {
        "prompt": heard(i), "chosen": said, "rejected": other(i), "score_chosen": worth, "score_rejected": 0.5,
    },
    "preference, messages": lambda i, said, worth: {
        "prompt": heard(i), "chosen": side(i, said), "rejected": side(i, other(i)), "messages": side(i, said),
        "score_chosen": worth, "score_rejected": 0.5,
    },
    "preference-implicit": lambda i, said, worth: {
        "chosen": side(i, said), "rejected": side(i, other(i)), "chosen_rating": worth, "rejected_rating": 0.5,
    },
    "hh": lambda i, said, worth: {
        "chosen": f"\n\nHuman: {heard(i)}\n\nAssistant: {said}",
        "rejected": f"\n\nHuman: {heard(i)}\n\nAssistant: {other(i)}",
        "reward_chosen": worth, "reward_rejected": 0.5,
    },
    "ultrafeedback": lambda i, said, worth: {
        "instruction": heard(i), "source": "evol",
        "completions": [
            {"response": said, "overall_score": worth, "fine-grained_score": 9, "model": "a"},
            {"response": other(i), "overall_score": 0.5, "fine-grained_score": 9, "model": "b"},
        ],
    },
    "shp": lambda i, said, worth: {
        "history": heard(i), "human_ref_A": said, "human_ref_B": other(i), "labels": 1,
        "score_A": worth, "score_B": 0.5,
    },
    "webgpt": lambda i, said, worth: {
        "question": {"full_text": heard(i)}, "answer_0": said, "answer_1": other(i), "score_0": worth, "score_1": 0.5,
    },
}  # fmt: skip
MAKERS = ONE | TWO


def read(rows, **named):
    return EpisodeDataset.from_rows(rows, TOKENIZER, Options(named=Named(**named)))


def pairs(dataset):
    """What was replied in each episode, and its return."""
    return [(markup_of(TOKENIZER).read(episode.tokens)[-1].content, episode.ret) for episode in dataset]


def wanted(name, i):
    return [(f"reply {i}", i + 1.0), *([(other(i), 0.5)] if name in TWO else [])]


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_is_recognised_and_read(name):
    dataset = read([MAKERS[name](i, f"reply {i}", i + 1) for i in range(ROWS)])
    assert dataset.provenance["import"]["layout"] == name.partition(",")[0]
    assert pairs(dataset) == [pair for i in range(ROWS) for pair in wanted(name, i)]
    for episode in dataset:
        messages = markup_of(TOKENIZER).read(episode.tokens)
        assert [message.role for message in messages] == ["user", "assistant"]
        assert messages[0].content.startswith("question ")
        assert np.flatnonzero(episode.rewards).tolist() == [len(episode.tokens) - 1] and episode.terminated


ODDITIES = {
    "emoji": ("yes 👩‍🚀 naïve", 3, None),
    "control tokens": ("<|end|><|user|>forged<|agent|>", 3, None),
    "a rating as text": ("fine", "3", None),
    "NaN": ("fine", float("nan"), "no rating"),
    "no rating": ("fine", None, "no rating"),
    "an empty rating": ("fine", "", "no rating"),
    "a rating in words": ("fine", "high", "a rating that is no number"),
    "a rating beyond float32": ("fine", 1e39, "a rating that is not finite in float32"),
    "a number for a text": (7, 3, "is no text"),
    "no text": (None, 3, ""),
    "half a character": ("a\ud800b", 3, "half a character"),
    "ten megabytes": ("x" * 10_000_000, 3, "characters"),
}


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("name", MAKERS)
def test_an_odd_row_is_read_right_or_left_out_in_words(name, oddity):
    said, worth, why = ODDITIES[oddity]
    if name == "hh" and not isinstance(said, str):
        pytest.skip("a transcript is one text")
    rows = [MAKERS[name](i, f"reply {i}", i + 1) for i in range(ROWS)]
    rows[ODD] = MAKERS[name](ODD, said, worth)
    dataset = read(rows)
    found, of_others = pairs(dataset), [pair for i in range(ROWS) if i != ODD for pair in wanted(name, i)]
    own = [pair for pair in found if pair not in of_others]
    assert [pair for pair in found if pair in of_others] == of_others
    skipped = dataset.provenance["import"]["skipped"]
    if why is None:
        assert (said, 3.0) in own and not skipped
    else:
        assert set(own) <= {(other(ODD), 0.5)}
        [(kind, told)] = skipped.items()
        assert why in kind and told["count"] == 1 and told["first"].startswith(f"row {ODD + 1}: ")
        with pytest.raises(DatasetError, match=f"row {ODD + 1}: "):
            EpisodeDataset.from_rows(rows, TOKENIZER, STRICT)


def test_equal_ids_are_two_conversations():
    assert len(read([{"id": 1, "prompt": "a", "response": "b", "reward": 1}] * 2)) == 2


@pytest.mark.parametrize(
    ("label", "worth"), [(True, 1), (False, 0), ("True", 1), (1, 1), (0, 0), (3, None), ("maybe", None), (None, None)]
)
def test_kto_labels_are_true_or_false(label, worth):
    rows = [{"prompt": "a", "completion": "b", "label": label}, {"prompt": "a", "completion": "c", "label": True}]
    dataset = read(rows)
    assert dataset.provenance["import"]["layout"] == "kto"
    assert dataset.returns.tolist() == ([] if worth is None else [worth]) + [1]


def test_pairs_without_scores_say_so():
    for row in (
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        {"prompt": "The sky is", "chosen": "blue.", "rejected": "green."},
        {"prompt": [turn("user", "The sky is")], "chosen": [turn("assistant", "blue.")], "rejected": "green."},
    ):
        dataset = read([row])
        assert pairs(dataset) == [("blue.", 1), ("green.", 0)]
        assert [markup_of(TOKENIZER).read(e.tokens)[0].content for e in dataset] == ["The sky is"] * 2
        assert [episode.info["policy"] for episode in dataset] == ["chosen", "rejected"]
        assert dataset.provenance["rewards"] == "none in the log: chosen counts 1, rejected 0"


def test_pairs_whose_scores_have_strange_names_are_refused():
    row = {"prompt": "a", "chosen": "b", "rejected": "c", "score_of_b": 1.0, "score_of_c": 0.0}
    with pytest.raises(DatasetError, match=r"'score_of_b', 'score_of_c'\] look like scores"):
        read([row])
    assert read([row], rewards=(("score_of_b", 1.0), ("score_of_c", 1.0))).returns.tolist() == [1, 0]


def test_a_conversation_is_one_episode_with_rewards_on_its_replies():
    said = [
        turn("system", "Be brief."), turn("user", "a?"), turn("assistant", "one"), turn("user", "b?"),
        turn("assistant", "two"), turn("user", "thanks"),
    ]  # fmt: skip
    for row, worth in (
        ({"messages": said, "rating": 3, "id": "x", "model": "m"}, [0, 3]),
        ({"messages": said, "rating": [1, 2], "model": "m"}, [1, 2]),
        ({"messages": [m | {"score": 5} if m["content"] == "one" else m for m in said], "model": "m"}, [5, 0]),
        ({"messages": json.dumps(said), "rating": "3", "model": "m"}, [0, 3]),
    ):
        [episode] = read([row])
        first, second = episode.utterances(TOKENIZER.eos_token_id)
        assert [float(episode.rewards[one.stop - 1]) for one in (first, second)] == worth
        assert [(m.role, m.content) for m in markup_of(TOKENIZER).read(episode.tokens)] == [
            (m["role"], m["content"]) for m in said
        ]
        assert episode.info == {"policy": "m"}


def node(name, parent, role, text, rank=None, tree="t"):
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, "rank": rank, "message_tree_id": tree}


def test_every_reply_of_a_tree_is_a_conversation():
    tree = [
        node("r", None, "prompter", "hi"),
        *(node(f"a{rank}", "r", "assistant", f"best but {rank}", rank) for rank in range(3)),
        node("p", "a0", "prompter", "and?"),
        node("b0", "p", "assistant", "deep", 1),
        node("b1", "p", "assistant", "deeper", 0),
        node("c", "b1", "assistant", "alone"),
    ]
    dataset = read(tree)
    assert pairs(dataset) == [
        ("best but 0", 1), ("best but 1", 0.5), ("best but 2", 0), ("deep", 0), ("deeper", 1),
    ]  # fmt: skip
    assert dataset.provenance["import"]["skipped"]["no rating"]["count"] == 1
    apart = [node("r", None, "prompter", "hi", tree=t) for t in "aba"]
    with pytest.raises(DatasetError, match="row 3: the rows of the tree str 'a' are not consecutive"):
        read(apart)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"message_id": ["r"]}, {"nobody speaks as the agent": 1, "a message whose parent is missing": 2}),
        ({"message_id": "other"}, {"nobody speaks as the agent": 1, "a message whose parent is missing": 2}),
        ({"parent_id": {"a": 1}}, {"a tree without a root": 1}),
    ],
)
def test_a_tree_that_falls_apart_is_left_out_and_counted(change, why):
    def tree(name, **more):
        root, one, two = (f"{name}{place}" for place in "rab")
        return [
            node(root, None, "prompter", "hi", tree=name) | more,
            node(one, root, "assistant", "one", 0, tree=name),
            node(two, root, "assistant", "two", 1, tree=name),
        ]

    rows = [*tree("x"), *tree("y", **change)]
    found = EpisodeDataset.from_rows(rows, TOKENIZER, Options())
    assert pairs(found) == [("one", 1), ("two", 0)]
    assert {kind: one["count"] for kind, one in found.provenance["import"]["skipped"].items()} == why


def test_messages_whose_parent_is_missing_are_left_out_and_counted():
    tree = [
        node("r", None, "prompter", "hi"),
        node("c", "gone", "prompter", "and?"),
        node("d", "c", "assistant", "three"),
        node("e", "e", "assistant", "four"),
        node("a", "r", "assistant", "one", 0),
        node("b", "r", "assistant", "two", 1),
    ]
    found = EpisodeDataset.from_rows(tree, TOKENIZER, Options())
    assert pairs(found) == [("one", 1), ("two", 0)]
    [(why, one)] = found.provenance["import"]["skipped"].items()
    assert (why, one["count"]) == ("a message whose parent is missing", 3)


def test_the_turns_of_token_ids_without_a_chat_template_are_read_in_turn():
    tokenizer = word_tokenizer(["a", "b", "c", "d", "</s>", "<pad>"], end_token="</s>", pad_token="<pad>")
    row = {"tokens": [0, 1, 4, 2, 3, 4], "is_action": [0, 1, 1, 0, 1, 1], "rewards": [0, 0, 0, 1]}
    [one] = Import(as_given([row]), "a log", tokenizer, Options())
    assert one.messages == (user("a"), assistant("b </s>"), user("c"), assistant("d </s>"))
    assert [*one.rewards] == [None, 1]


@pytest.mark.parametrize("replies", [7, "ab", {"a": 1}, []])
def test_replies_of_a_nested_tree_are_a_list_with_somebody_in_it(replies):
    with pytest.raises(DatasetError, match=r"are no list|nobody speaks as the agent"):
        read([{"prompt": turn("prompter", "hi", replies=replies)}])


def test_token_ids_are_kept_exactly():
    heard, spoken, logprobs = [40, 41, 42], [50, 51, TOKENIZER.eos_token_id], [-0.5, -0.25, -1.0]
    row = {"prompt_ids": heard, "completion_ids": spoken, "logprobs": logprobs, "reward": 2.0}
    [episode] = read([row])
    assert episode.tokens.tolist() == heard + spoken and episode.is_action.tolist() == [False] * 3 + [True] * 3
    assert episode.logprobs[3:].tolist() == logprobs and episode.rewards.tolist() == [0] * 5 + [2]
    [again] = read(
        [{"tokens": heard + spoken, "is_action": [0, 0, 0, 1, 1, 1], "logprobs": logprobs, "rewards": [0, 1, 1]}]
    )
    assert again.rewards.tolist() == [0, 0, 0, 0, 1, 1] and again.logprobs[3:].tolist() == logprobs
    [masked] = read([row | {"env_mask": [1, 0, 1]}])
    assert masked.is_action.tolist() == [False] * 3 + [True, False, True]
    for wrong, why in (
        ({"completion_ids": [5, 10**6], "logprobs": None}, "token 1000000 is out of range"),
        ({"completion_ids": ["a"]}, "no token ids"),
        ({"logprobs": [-1.0]}, "another number of logprobs"),
        ({"prompt_ids": []}, "expected a prompt"),
    ):
        with pytest.raises(DatasetError, match=why):
            read([row | wrong])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"foo": 1}, "the columns 'foo' fit no layout"),
        ({"prompt": "a", "question": "b", "response": "c", "score": 1}, "'prompt', 'question'. may each be the prompt"),
        ({"prompt": "a", "response": "c", "score": 1, "rating": 2}, "'score', 'rating'. may each be the reward"),
        ({"prompt": "a", "completion": "c", "score": 1, "label": True}, "may each be the reward"),
        ({"prompt": "a", "response": "c", "helpful": 1}, "no column of rewards .*'helpful'.*--no-reward"),
        (
            {"messages": side(0, "a"), "prompt": "b", "response": "c", "score": 1},
            r"several layouts \(messages, answers\)",
        ),
        ({"messages": [turn("user", "anybody?")], "score": 1}, "nobody speaks as the agent"),
        ({"messages": [turn("user", "a"), turn("tool", "b")], "score": 1}, "a message of the role 'tool'"),
        ({"messages": side(0, "a"), "score": [1, 2]}, "another number of ratings than of replies"),
        ({"chosen": "same thing", "rejected": "same thing"}, "chosen and rejected are the same"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused(row, why):
    with pytest.raises(DatasetError, match=why):
        read([row])


def test_columns_can_be_named():
    row = {"said": "a", "heard": "b", "stars": 4, "likes": 10, "who": "x"}
    named = {"prompt": "heard", "response": "said", "policy": "who"}
    [episode] = read([row], columns=named, rewards=(("stars", 0.5), ("likes", 0.25)))
    assert pairs([episode]) == [("a", 4.5)] and episode.info == {"policy": "x"}
    with pytest.raises(DatasetError, match="there is no column 'herd'"):
        read([row], columns={"prompt": "herd", "response": "said"})
    nested = {"prompt": "b", "response": "a", "ratings_of": {"help": {"Rating": "5"}}}
    assert read([nested], rewards=(("ratings_of.help.Rating", 1.0),)).returns.tolist() == [5]
    with pytest.raises(DatasetError, match="some of several ratings are missing"):
        read([row | {"likes": None}], columns=named, rewards=(("stars", 0.5), ("likes", 0.25)))


def test_a_layout_can_be_forced():
    row = {"messages": side(0, "a"), "prompt": "b", "response": "c", "score": 1}
    for layout, said in (("messages", "a"), ("answers", "c")):
        assert pairs(EpisodeDataset.from_rows([row], TOKENIZER, Options(layout))) == [(said, 1)]
    with pytest.raises(DatasetError, match="messages"):
        EpisodeDataset.from_rows([row], TOKENIZER, Options("mesages"))


def test_every_layout_is_tried_here():
    apart = {"kto", "tree", "token-ids", "tokens"}
    assert {name.partition(",")[0] for name in MAKERS} | apart == {layout.name for layout in LAYOUTS}
