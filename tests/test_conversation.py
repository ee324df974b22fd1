"""Conversations as data, as JSON, and as the packaged tokenizer writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang_envs.chat_templates import AGENT, END, MARKERS, PAD, USER
from lang_envs.conversation import (
    Message,
    assistant,
    from_json,
    is_conversation,
    mirrored,
    system,
    to_json,
    user,
)
from lang_envs.markup import markup_of
from lang_envs.tokenizers import character_tokenizer, decode, encode, fingerprint, text_tokenizer
from lang_envs.utterances import spell

TURNS = (system("a dog"), user("hi"), assistant("hello"), user("bye"))
TOKENIZER = text_tokenizer()
MARKUP = markup_of(TOKENIZER)


def read(text):
    """The messages of a history that is given as text, markers and all."""
    return MARKUP.read(encode(TOKENIZER, [text])[0])


def test_messages_go_through_json():
    written = to_json(TURNS)
    assert written[0] == {"role": "system", "content": "a dog"}
    assert [message["role"] for message in written] == ["system", "user", "assistant", "user"]
    assert from_json(written) == from_json(tuple(written)) == TURNS
    assert from_json([{"role": "user", "content": "hi", "name": "Ann"}]) == (user("hi"),)
    assert (to_json(()), from_json([])) == ([], ())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("hi", "messages are a list, got 'hi'"),
        (None, "messages are a list, got None"),
        (["hi"], "a message has a role of .*got 'hi'"),
        ([{"role": "tool", "content": "hi"}], "a message has a role of .*'tool'"),
        ([{"role": ["user"], "content": "hi"}], "a message has a role of"),
        ([{"role": "user", "content": None}], "a text as its content"),
        ([{"role": "user"}], "a text as its content"),
    ],
)
def test_what_is_no_message_is_told(wrong, message):
    with pytest.raises(ValueError, match=message):
        from_json(wrong)


def test_the_other_side_sees_roles_swapped():
    assert mirrored(TURNS) == (system("a dog"), assistant("hi"), user("hello"), assistant("bye"))
    assert mirrored(mirrored(TURNS)) == TURNS


def test_what_a_conversation_is():
    assert is_conversation(TURNS) and is_conversation(())
    for wrong in (list(TURNS), "hi", (("user", "hi"),), (Message("tool", "hi"),), (user(3),), None):
        assert not is_conversation(wrong)


def test_a_conversation_is_written_and_read_back():
    tokens = MARKUP.opening(TURNS)
    assert decode(TOKENIZER, [tokens]) == [f"a dog{USER}hi{AGENT}hello{END}{USER}bye{AGENT}"]
    assert MARKUP.read(tokens) == TURNS
    later = [*tokens, *spell(TOKENIZER, "so long", 32), *MARKUP.answer((user("what?"),), True, False)]
    assert MARKUP.read(later) == (*TURNS, assistant("so long"), user("what?"))
    assert MARKUP.read(MARKUP.opening(())) == ()
    assert read(f"{USER}hi{AGENT}cut at its lim") == (user("hi"), assistant("cut at its lim"))


def test_an_agents_empty_turn_is_said_and_one_not_begun_is_not():
    assert read(f"{USER}hi{AGENT}") == (user("hi"),)
    assert read(f"{USER}hi{AGENT}{END}") == (user("hi"), assistant(""))


def test_without_a_chat_template_there_is_no_markup():
    assert markup_of(character_tokenizer([*"hi", *MARKERS], end_token=END, pad_token=PAD)) is None


@given(st.text())
def test_any_text_is_spelled_and_read_back(text):
    assert decode(TOKENIZER, encode(TOKENIZER, [text], literally=True)) == [text]


@given(st.lists(st.text(), min_size=1, max_size=3), st.sampled_from(MARKERS))
def test_any_turns_are_read_back_markers_and_all(texts, marker):
    turns = [message for text in texts for message in (user(text), assistant(text + marker))]
    turns = (*turns, user(marker))
    assert MARKUP.read(MARKUP.opening(turns)) == turns


def test_markers_are_one_token_each():
    assert [encode(TOKENIZER, [marker])[0] for marker in MARKERS] == [[0], [1], [2], [3]]
    assert all(len(tokens) > 1 for tokens in encode(TOKENIZER, MARKERS, literally=True))
    assert (TOKENIZER.eos_token, TOKENIZER.pad_token) == (END, PAD)
    assert len(TOKENIZER) == 2048


def test_the_packaged_vocabulary_never_changes():
    assert fingerprint(TOKENIZER) == fingerprint(text_tokenizer()) == "769bf80a1b3b4070"


def test_spell_ends_an_utterance_once():
    assert spell(TOKENIZER, "", 4).tolist() == [1]
    assert spell(TOKENIZER, "hello", 32)[-1] == 1
    assert spell(TOKENIZER, "one two three four five six", 4).shape == (4,)
    assert 1 not in spell(TOKENIZER, "one two three four five six", 4)
    said = spell(TOKENIZER, f"yes{END}no", 32)
    assert decode(TOKENIZER, [said]) == [f"yes{END}no{END}"]
    assert (said == 1).sum() == 1
