"""The text format of conversations, and the packaged tokenizer that spells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_envs.transcript import AGENT, END, MARKERS, PAD, USER, heard, prompt, turns_of

from lang_envs.tokenizers import decode, encode, fingerprint, text_tokenizer
from lang_envs.utterances import spell

TURNS = [("context", "a dog"), ("user", "hi"), ("agent", "hello"), ("user", "bye")]
TOKENIZER = text_tokenizer()


def test_prompt_is_read_back():
    text = prompt(TURNS)
    assert text == f"a dog{USER}hi{AGENT}hello{END}{USER}bye{AGENT}"
    assert turns_of(text) == TURNS
    assert turns_of(text + f"so long{END}" + heard("what?")) == [*TURNS, ("agent", "so long"), ("user", "what?")]
    assert turns_of(prompt([])) == []
    assert turns_of(f"{USER}hi{AGENT}cut at its lim") == [("user", "hi"), ("agent", "cut at its lim")]


def test_a_speaker_nobody_knows():
    with pytest.raises(ValueError, match="'system'"):
        prompt([("system", "be kind")])


@given(st.text())
def test_any_text_is_spelled_and_read_back(text):
    assert decode(TOKENIZER, encode(TOKENIZER, [text])) == [text]


def test_markers_are_one_token_each():
    assert [encode(TOKENIZER, [marker])[0] for marker in MARKERS] == [[0], [1], [2], [3]]
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
    assert decode(TOKENIZER, [said]) == [f"yes{END}"]
