import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lang_envs.adoption import adopt
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import character_tokenizer, decode, encode, fingerprint, word_tokenizer
from lang_envs.utterance_env import UtteranceEnv

LETTERS = ["<pad>", *"abc \n", "<end>", "<g>", "é"]
WORDS = ["the", "movie", "wasn't", ":", "<pad>", "<end>"]


def characters():
    return character_tokenizer(LETTERS, end_token="<end>", pad_token="<pad>")


def words():
    return word_tokenizer(WORDS, end_token="<end>", pad_token="<pad>")


def byte_level(**special):
    """A small BPE as the hub has them: byte level, merges, no pad token."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<eos>"], initial_alphabet=alphabet)
    backend.train_from_iterator(["the movie was good", "the movie was better"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


@pytest.mark.parametrize("tokenizer", [characters(), words()], ids=["characters", "words"])
def test_special_tokens_and_sizes(tokenizer):
    assert tokenizer.eos_token == "<end>"
    assert tokenizer.pad_token == "<pad>"
    assert tokenizer.model_max_length < 2**31
    assert not tokenizer.clean_up_tokenization_spaces
    listed = LETTERS if len(tokenizer) == len(LETTERS) else WORDS
    assert tokenizer.get_vocab() == {token: i for i, token in enumerate(listed)}


def test_characters_are_spelled_one_by_one():
    tokenizer = characters()
    assert encode(tokenizer, ["ab c\né<g><end>"]) == [[1, 2, 4, 3, 5, 8, 7, 6]]
    assert encode(tokenizer, ["", "a"]) == [[], [1]]
    assert encode(tokenizer, []) == []


@pytest.mark.parametrize("text", ["a b", "  a", "a  ", "a\nb", "<g>a <end>", "", "c <g> ,"])
def test_character_texts_survive(text):
    tokenizer = characters()
    back = decode(tokenizer, encode(tokenizer, [text]))[0]
    assert back == text.replace(",", "<pad>")


def test_every_list_of_tokens_survives():
    for tokenizer in (characters(), words()):
        every = [[i, j] for i in range(len(tokenizer)) for j in range(len(tokenizer))]
        assert encode(tokenizer, decode(tokenizer, every)) == every


def test_what_cannot_be_spelled_becomes_the_unknown_token():
    assert encode(characters(), ["a🎬b"]) == [[1, 0, 2]]
    tokenizer = word_tokenizer([*WORDS, "<unk>"], end_token="<end>", pad_token="<pad>", unknown_token="<unk>")
    assert encode(tokenizer, ["the naïve movie"]) == [[0, 6, 1]]


@pytest.mark.parametrize("make", [characters, words, lambda: byte_level(eos_token="<eos>")])
def test_saving_and_loading_keeps_everything(make, tmp_path):
    tokenizer = make()
    tokenizer.save_pretrained(tmp_path)
    for again in (AutoTokenizer.from_pretrained(tmp_path), adopt(tmp_path), adopt(str(tmp_path))):
        texts = ["the movie wasn't : <end>", "ab c\n<g>é", ""]
        assert encode(again, texts) == encode(tokenizer, texts)
        assert decode(again, encode(again, texts)) == decode(tokenizer, encode(tokenizer, texts))
        assert again.eos_token_id == tokenizer.eos_token_id
    assert fingerprint(AutoTokenizer.from_pretrained(tmp_path)) == fingerprint(tokenizer)


def test_fingerprints_tell_tokenizers_apart():
    one = character_tokenizer(LETTERS, end_token="<end>", pad_token="<pad>")
    others = [
        character_tokenizer([*LETTERS, "d"], end_token="<end>", pad_token="<pad>"),
        character_tokenizer(LETTERS[::-1], end_token="<end>", pad_token="<pad>"),
        character_tokenizer(LETTERS, end_token="<g>", pad_token="<pad>"),
        character_tokenizer(LETTERS, end_token="<end>", pad_token="<g>", unknown_token="<pad>"),
        words(),
        byte_level(eos_token="<eos>"),
    ]
    assert fingerprint(one) == fingerprint(characters())
    assert len({fingerprint(tokenizer) for tokenizer in [one, *others]}) == 7


def test_fingerprint_does_not_change_with_use():
    tokenizer = characters()
    before = fingerprint(tokenizer)
    tokenizer(["a", "ab"], padding=True, truncation=True, max_length=1)
    assert fingerprint(tokenizer) == before


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["a", "a", "<pad>", "<end>"], "'a' is listed twice"),
        (["a", "", "<pad>", "<end>"], "must not be empty"),
        (["a", "<end>"], "pad_token '<pad>' is not among the 2 tokens"),
        (["a", "<pad>"], "end_token '<end>' is not among"),
    ],
)
def test_refuses_a_bad_list_of_tokens(tokens, message):
    with pytest.raises(ValueError, match=message):
        character_tokenizer(tokens, end_token="<end>", pad_token="<pad>")


def test_refuses_words_with_blanks_and_an_end_that_pads():
    with pytest.raises(ValueError, match="white space, got 'the movie'"):
        word_tokenizer(["the movie", "<end>", "<pad>"], end_token="<end>", pad_token="<pad>")
    with pytest.raises(ValueError, match="told from padding"):
        word_tokenizer(WORDS, end_token="<end>", pad_token="<end>")


def test_adopt_gives_a_pad_token_and_leaves_the_original_alone():
    original = byte_level(eos_token="<eos>")
    adopted = adopt(original)
    assert adopted.pad_token_id == adopted.eos_token_id
    assert len(adopted) == len(original)
    assert original.pad_token is None
    assert adopt(adopted) is adopted


def test_adopt_refuses_in_words():
    with pytest.raises(ValueError, match="no eos_token"):
        adopt(byte_level())
    with pytest.raises(TypeError, match="PreTrainedTokenizerFast or the path of one, got int"):
        adopt(7)


def test_byte_level_texts_survive():
    tokenizer = adopt(byte_level(eos_token="<eos>"))
    texts = ["the movie was good", "naïve 🎬\n  twice", "a , b ."]
    assert decode(tokenizer, encode(tokenizer, texts)) == texts


def test_names_of_special_tokens_are_unknown_words_to_a_vocabulary_of_words():
    tokenizer = word_tokenizer([*WORDS, "<unk>"], end_token="<end>", pad_token="<pad>", unknown_token="<unk>")
    unknown = tokenizer.unk_token_id
    word, *_ = encode(tokenizer, [WORDS[0]])[0]
    assert encode(tokenizer, [f"{WORDS[0]} <end> <pad> {WORDS[0]}"], literally=True) == [[word, unknown, unknown, word]]
    assert encode(tokenizer, ["<end>"]) == [[tokenizer.eos_token_id]]
    tokenizer.unk_token = None
    with pytest.raises(ValueError, match="give the tokenizer an unknown token"):
        encode(tokenizer, ["<end>"], literally=True)


def test_names_of_special_tokens_are_unknown_to_a_vocabulary_of_pieces():
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("\u2581a", -1.0), ("b", -1.5), ("\u2581", -2.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    tokens = encode(tokenizer, ["ab </s> b"], literally=True)[0]
    assert tokens[:2] == [2, 3] and tokens[-2:] == [4, 3] and tokenizer.eos_token_id not in tokens and 0 in tokens


def test_such_a_name_in_an_utterance_ends_nothing():
    env = UtteranceEnv(MovieReview())
    env.reset(seed=0)
    env.step("the movie was </s> good")
    said = env.history[-6:]
    assert said.count(env.end_id) == 1 and said[-1] == env.end_id
