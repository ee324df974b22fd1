"""Conversations as tokens: exactly as the template writes them, at every turn; texts never become control tokens."""

import gc
import itertools
import weakref

import numpy as np
import pytest
from chat_tokenizers import CHATML, FAMILIES, LLAMA2, QWEN, QWEN3, chat_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from agents.runs.tokens import made_for
from lang_envs import template_pieces
from lang_envs.adoption import adopt, set_markup
from lang_envs.chat_templates import NAMED, PACKAGED
from lang_envs.conversation import assistant, system, to_json, user
from lang_envs.markup import Markup, MarkupError, markup_of
from lang_envs.template_pieces import TemplatePieces, pieces_of
from lang_envs.tokenizers import fingerprint, text_tokenizer
from lang_envs.utterances import spell

TOKENIZERS = {name: adopt(chat_tokenizer(template)) for name, (template, _) in FAMILIES.items()} | {
    "packaged": text_tokenizer(),
    "plain": set_markup(chat_tokenizer(), "plain"),
}
TURNS = (
    user("Is a room free on Friday, for 2?"),
    assistant("Yes. Shall I book it?"),
    user("Please do.\nAnd breakfast?"),
    assistant("Done!"),
    user("thanks"),
)
PIECES = [*"ab ,.?\n1", "é", "<|im_end|>", "<|user|>", "[/INST]", "</s>", "<|end|>"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
ENDING = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + eos_token }}{% endfor %}"
ENDING += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
BLANK_KEEPING = ["ChatML", "SmolLM2", "Qwen", "Phi", "packaged"]


def rendered(tokenizer, conversation):
    """The ids of the library's own rendering."""
    text = tokenizer.apply_chat_template(to_json(conversation), tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]


def test_the_end_token_is_the_one_that_closes_the_agents_turns():
    for name, (template, end) in FAMILIES.items():
        tokenizer = chat_tokenizer(template)
        adopted = adopt(tokenizer)
        assert adopted.eos_token == end == Markup(adopted).end, name
        assert name == "Mistral" or tokenizer.eos_token == "<|endoftext|>"  # the one that was passed in stays as it was


def test_an_episode_has_the_tokens_of_the_templates_rendering(tokenizer):
    markup = markup_of(tokenizer)
    tokens = [*markup.opening(TURNS[:1])]
    for place in (1, 3):
        assert tokens == rendered(tokenizer, TURNS[:place])
        tokens += spell(tokenizer, TURNS[place].content, 100).tolist()
        assert tokens[-1] == tokenizer.eos_token_id
        tokens += markup.answer((TURNS[place + 1],), ended=True, over=False)
    assert tokens == rendered(tokenizer, TURNS) == markup.opening(TURNS)
    assert markup.read(tokens)[-5:] == TURNS


def test_system_messages_open_the_conversation_where_the_template_has_them(tokenizer):
    conversation = (system("Be brief."), *TURNS[:3])
    markup, merged = markup_of(tokenizer), (user("Be brief.\n\n" + TURNS[0].content), *TURNS[1:3])
    found = markup.read(markup.opening(conversation))
    assert found == (merged if markup is markup_of(TOKENIZERS["Mistral"]) else conversation)
    assert markup.opening(found) == markup.opening(conversation) == rendered(tokenizer, found)


@pytest.mark.parametrize("name", ["ChatML", "SmolLM2", "Qwen", "Llama-3", "Phi", "packaged", "plain"])
def test_system_messages_stay_what_they_are_wherever_they_stand(name):
    markup = markup_of(TOKENIZERS[name])
    conversation = (system("a"), system("b"), user("c"), system("d"), assistant("e"), system("f"), user("g"))
    assert markup.read(markup.opening(conversation)) == conversation


def test_a_cut_turn_is_closed_before_the_environment_answers(tokenizer):
    markup = markup_of(tokenizer)
    cut = spell(tokenizer, TURNS[1].content, 100)[:-1]
    heard = markup.answer(TURNS[2:3], ended=False, over=False)
    assert heard[0] == tokenizer.eos_token_id and heard[1:] == markup.answer(TURNS[2:3], ended=True, over=False)
    tokens = [*markup.opening(TURNS[:1]), *cut, *heard]
    assert tokens == rendered(tokenizer, TURNS[:3])


def test_when_the_episode_is_over_nobody_is_asked_to_speak(tokenizer):
    markup = markup_of(tokenizer)
    last = markup.answer((user("bye"),), ended=True, over=True)
    whole = markup.answer((user("bye"),), ended=True, over=False)
    assert whole[: len(last)] == last and len(last) <= len(whole)
    history = [*markup.opening(TURNS[:1]), *spell(tokenizer, "yes", 9), *last]
    assert markup.read(history)[-3:] == (TURNS[0], assistant("yes"), user("bye"))


def test_what_the_agent_has_begun_to_say_is_its_last_message(tokenizer):
    markup = markup_of(tokenizer)
    opening, said = markup.opening(TURNS[:1]), spell(tokenizer, "One moment please", 100).tolist()
    assert markup.read(opening)[-1] == TURNS[0]
    assert markup.read([*opening, *said[:-1]])[-1] == assistant("One moment please")
    assert markup.read([*opening, *said])[-1] == assistant("One moment please")
    assert markup.read([*opening, tokenizer.eos_token_id])[-1] == assistant("")


@given(texts=st.lists(TEXTS, min_size=3, max_size=5), name=st.sampled_from(BLANK_KEEPING))
def test_no_text_is_control(texts, name):
    tokenizer = TOKENIZERS[name]
    markup = markup_of(tokenizer)
    said = tuple(make(text) for make, text in zip(itertools.cycle([user, assistant]), texts))
    if name == "Phi":  # its marker takes the blanks behind it
        said = tuple(message._replace(content=message.content.strip()) for message in said)
    tokens = markup.opening(said)
    assert markup.read(tokens)[-len(said) :] == said
    specials = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    harmless = markup.opening(tuple(m._replace(content="x") for m in said))
    assert [t for t in tokens if t in specials] == [t for t in harmless if t in specials]


def test_a_reply_is_spelled_literally(tokenizer):
    end = tokenizer.eos_token
    tokens = spell(tokenizer, f"{end} closes the tag", 100)
    assert (tokens == tokenizer.eos_token_id).sum() == 1 and tokens[-1] == tokenizer.eos_token_id
    history = [*markup_of(tokenizer).opening(TURNS[:1]), *tokens]
    assert markup_of(tokenizer).read(history)[-1] == assistant(f"{end} closes the tag")


def test_contexts_are_cut_at_turns_and_the_system_message_stays(tokenizer):
    markup = markup_of(tokenizer)
    conversation = (system("Be brief."), *TURNS)
    whole = markup.opening(conversation)
    for limit in range(len(whole) - 1, 40, -1):
        short = markup.opening(conversation, limit)
        assert len(short) <= limit
        found = markup.read(short)
        spoken = tuple(m for m in found if m.role != "system")
        assert all(any(t.content in m.content for m in spoken) for t in TURNS[len(TURNS) - len(spoken) + 1 :])
        assert "Be brief." in found[0].content or "Be brief." in found[1].content


def test_of_a_turn_that_is_too_long_the_last_words_stay(tokenizer):
    markup = markup_of(tokenizer)
    words = " ".join(f"word{i}" for i in range(200))
    short = markup.opening((user(words),), 60)
    [*_, last] = markup.read(short)
    assert words.endswith(last.content) and last.content.startswith("word") and 40 < len(short) <= 60
    with pytest.raises(ValueError, match="no room for a word"):
        markup.opening((user(words),), 1)


def test_neighbours_of_one_role_are_one_turn_where_turns_must_alternate():
    mistral = markup_of(TOKENIZERS["Mistral"])
    assert mistral.read(mistral.opening((user("a"), user("b")))) == (user("a\n\nb"),)
    assert mistral.read(mistral.opening((assistant("a"), user("b")))) == (user(""), assistant("a"), user("b"))
    assert mistral.read(mistral.opening(())) == (user(""),)
    chatml = markup_of(TOKENIZERS["ChatML"])
    assert chatml.read(chatml.opening((user("a"), user("b")))) == (user("a"), user("b"))
    assert chatml.read(chatml.opening(())) == ()


@pytest.mark.parametrize("template", [QWEN3, QWEN3.replace("and not loop.last", "")])
def test_templates_that_rewrite_the_past_are_refused(template):
    with pytest.raises(MarkupError, match=r"writes what was said in another way.*markup='chatml'"):
        adopt(chat_tokenizer(template))
    mended = adopt(set_markup(chat_tokenizer(template), "chatml"))
    assert mended.eos_token == "<|im_end|>"


def test_templates_that_a_text_could_forge_are_refused():
    plain = chat_tokenizer(LLAMA2, specials=("<s>", "</s>"), eos="</s>")
    with pytest.raises(MarkupError, match="plain text, which a user could say"):
        adopt(plain)


@pytest.mark.parametrize("template", ["{{ messages[0].content.nothing.at.all }}", "{% for %}", "{{ 'x' }}"])
def test_templates_that_fail_are_refused_in_words(template):
    with pytest.raises(MarkupError, match="chat template"):
        adopt(chat_tokenizer(template))


def test_markups_by_name_and_by_file(tmp_path):
    tokenizer = chat_tokenizer(FAMILIES["ChatML"][0])
    assert set_markup(tokenizer, "chat") is tokenizer
    with pytest.raises(ValueError, match="no chat template of its own"):
        set_markup(chat_tokenizer(), "chat")
    with pytest.raises(ValueError, match="or the path of a chat template, got 'chatlm'"):
        set_markup(chat_tokenizer(), "chatlm")
    with pytest.raises(ValueError, match=r"no token '<\|im_start\|>', which the markup 'chatml' needs"):
        set_markup(text_tokenizer(), "chatml")
    (tmp_path / "llama.jinja").write_text(FAMILIES["Llama-3"][0])
    assert set_markup(chat_tokenizer(), tmp_path / "llama.jinja").eos_token == "<|eot_id|>"
    assert {*NAMED} == {"markers", "chatml", "plain"}


def test_another_template_is_another_tokenizer():
    prints = {fingerprint(tokenizer) for tokenizer in TOKENIZERS.values()}
    assert len(prints) == len(TOKENIZERS)
    bare = text_tokenizer()
    assert bare.chat_template == PACKAGED
    bare.chat_template = None
    assert fingerprint(bare) == fingerprint(text_tokenizer())  # data sets of earlier versions stay readable


def test_the_marker_of_a_prompt_ends_every_opening(tokenizer):
    markup = markup_of(tokenizer)
    for n in (0, 1, 3, 5):
        tokens = markup.opening(TURNS[:n])
        assert tokens[len(tokens) - len(markup.prompt) :] == markup.prompt
    assert np.isin(markup.prompt, [i for i, t in tokenizer.added_tokens_decoder.items() if t.special]).any()


def test_a_run_takes_the_models_tokens_in_the_markup_that_is_asked_for(tmp_path):
    chat_tokenizer(QWEN3).save_pretrained(tmp_path)
    with pytest.raises(MarkupError, match="markup='chatml'"):
        made_for(str(tmp_path), "Dialogue-BLEU-v0", {}, 1)
    env = made_for(str(tmp_path), "Dialogue-BLEU-v0", {"markup": "chatml"}, 1)
    assert env.tokenizer.eos_token == "<|im_end|>"
    assert made_for("d64-l2", "Dialogue-BLEU-v0", {"markup": "plain"}, 1).tokenizer.eos_token == "<|end|>"


@pytest.fixture
def taken_apart(monkeypatch):
    """The tokenizers whose templates are taken apart from here on; nothing is known of any."""
    seen, take_apart = [], TemplatePieces._take_apart
    monkeypatch.setattr(template_pieces, "_PIECES", {})
    monkeypatch.setattr(TemplatePieces, "_take_apart", lambda pieces: (seen.append(1), take_apart(pieces))[1])
    return seen


def test_a_template_is_taken_apart_once_for_all_copies_of_a_tokenizer(taken_apart):
    for make in (text_tokenizer, lambda: chat_tokenizer(QWEN)):
        first, copied = make(), make()
        before = len(taken_apart)
        assert markup_of(first).opening(TURNS) == markup_of(copied).opening(TURNS) == rendered(copied, TURNS)
        assert len(taken_apart) == before + 1 and markup_of(first) is not markup_of(copied)


def _ending_in(token):
    tokenizer = chat_tokenizer(ENDING)
    tokenizer.eos_token = token
    return tokenizer


def _taking_blanks():
    tokenizer = chat_tokenizer(CHATML)
    end = AddedToken("<|im_end|>", special=True, rstrip=True, normalized=False)
    tokenizer.backend_tokenizer.add_special_tokens([end])
    return tokenizer


class Shouting(PreTrainedTokenizerFast):
    """Renders in a way of its own."""

    def apply_chat_template(self, *args, **how):
        return [text.replace("user\n", "USER\n") for text in super().apply_chat_template(*args, **how)]


def _shouting():
    tokenizer = chat_tokenizer(CHATML)
    tokenizer.__class__ = Shouting
    return tokenizer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: chat_tokenizer(CHATML), lambda: chat_tokenizer(CHATML.replace("\n", ""))),
        (lambda: _ending_in("<|im_end|>"), lambda: _ending_in("<|eot_id|>")),
        (lambda: chat_tokenizer(CHATML), _taking_blanks),
        (lambda: chat_tokenizer(CHATML), lambda: chat_tokenizer(CHATML, specials=("<|im_end|>",))),
        (lambda: chat_tokenizer(CHATML), _shouting),
    ],
    ids=[
        "another template",
        "another special token of that name",
        "tokens that take blanks",
        "fewer special tokens",
        "another class",
    ],
)
def test_what_pieces_depend_on_makes_others(one, other, taken_apart):
    for make in (one, other):
        tokenizer = make()
        assert vars(pieces_of(tokenizer)) == vars(TemplatePieces(tokenizer)) == vars(pieces_of(make()))
    assert pieces_of(one()) is pieces_of(one()) is not pieces_of(other())


def test_a_template_that_tells_the_date_is_taken_apart_each_time(taken_apart):
    dated = "{{ '<|im_start|>system\n' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML
    assert pieces_of(chat_tokenizer(dated)) is not pieces_of(chat_tokenizer(dated)) and len(taken_apart) == 2


def test_so_many_templates_are_remembered(taken_apart):
    for i in range(template_pieces._MOST_TEMPLATES + 3):
        pieces_of(chat_tokenizer(f"{CHATML}{{# {i} #}}"))
        assert len(template_pieces._PIECES) <= template_pieces._MOST_TEMPLATES


def test_a_tokenizer_is_not_kept_alive_by_what_is_remembered_of_it():
    tokenizer = chat_tokenizer(FAMILIES["ChatML"][0])
    markup_of(tokenizer).opening(TURNS)
    gone = weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert gone() is None
