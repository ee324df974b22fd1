import gymnasium as gym
import numpy as np
import pytest
from guess_task import TOKENS, Guess
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lang_envs import Reply, Task, TokenEnv, UtteranceEnv
from lang_envs.make import make_env
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import encode, text_tokenizer

A, QUESTION, PAD, END, SAY = (TOKENS.index(token) for token in ("a", "?", "<pad>", "<end>", "<say>"))


class Scripted(Task[int]):
    """Answers turn by turn what it was told to; the state counts turns."""

    def __init__(self, *replies, max_turns=9, max_utterance_tokens=3, max_tokens=12, opening="<say>"):
        self.max_turns, self.max_utterance_tokens, self.max_tokens = max_turns, max_utterance_tokens, max_tokens
        self.replies, self.opening, self.heard = replies, opening, []

    def tokenizer(self):
        return Guess().tokenizer()

    def begin(self, rng):
        return 0, self.opening

    def reply(self, state, utterance, rng):
        self.heard.append(utterance)
        text, reward, over = self.replies[state]
        return Reply(state + 1, text, reward, over, {"turn": state})


def outcomes(env, tokens):
    """(reward, terminated, truncated, info) of each step."""
    return [env.step(token)[1:] for token in tokens]


def tokens_of(env, observation):
    return observation["input_ids"][observation["attention_mask"] == 1].tolist()


def test_the_reward_lies_on_the_end_token_and_the_reply_follows_it():
    task = Scripted(("??", -0.5, False), ("!", 2, True))
    env = TokenEnv(task)
    env.reset(seed=0)
    assert outcomes(env, [A, A]) == [(0, False, False, {})] * 2
    assert outcomes(env, [END]) == [(-0.5, False, False, {"turn": 0})]
    observation, *outcome = env.step(END)
    assert outcome == [2, True, False, {"turn": 1}]
    assert tokens_of(env, observation) == [SAY, A, A, END, QUESTION, QUESTION, END, TOKENS.index("!")]
    assert task.heard == ["aa", ""]


def test_an_utterance_is_cut_at_its_limit_and_paid_on_its_last_token():
    env = TokenEnv(Scripted(("?", -1, False), ("", 0, True)))
    env.reset(seed=0)
    assert outcomes(env, [A, A, A]) == [(0, False, False, {}), (0, False, False, {}), (-1, False, False, {"turn": 0})]
    assert env.task.heard == ["aaa"]


@pytest.mark.parametrize("terminated", [False, True])
def test_a_full_context_truncates_unless_the_task_is_over(terminated):
    env = TokenEnv(Scripted(("????", -1, terminated), max_tokens=5))
    env.reset(seed=0)
    assert outcomes(env, [A, END]) == [(0, False, False, {}), (-1, terminated, not terminated, {"turn": 0})]
    assert env.render_mode is None


def test_an_utterance_that_the_context_cuts_is_not_paid():
    env = TokenEnv(Scripted(("", -1, False), max_tokens=3))
    env.reset(seed=0)
    assert outcomes(env, [A, A]) == [(0, False, False, {}), (0, False, True, {})]
    assert env.task.heard == []


def test_an_end_token_in_the_last_place_is_answered():
    env = TokenEnv(Scripted(("?", -1, False), max_tokens=3))
    env.reset(seed=0)
    observation, *outcome = [env.step(A), env.step(END)][-1]
    assert outcome == [-1, False, True, {"turn": 0}]
    assert tokens_of(env, observation) == [SAY, A, END]


def test_the_turn_limit_truncates():
    for env in (TokenEnv(Scripted(("?", 0, False), max_turns=1)), UtteranceEnv(Scripted(("?", 0, False), max_turns=1))):
        env.reset(seed=0)
        assert env.step(END if isinstance(env, TokenEnv) else "")[2:4] == (False, True)


def test_rewards_are_rounded_as_they_are_recorded():
    env = TokenEnv(Scripted(("?", -0.1, False)))
    env.reset(seed=0)
    assert env.step(END)[1] == float(np.float32(-0.1)) != -0.1


def test_observations_are_padded_on_the_right_and_new_each_time():
    env = TokenEnv(Scripted(("?", 0, False), max_tokens=6))
    first, _ = env.reset(seed=0)
    second = env.step(A)[0]
    assert first["input_ids"].tolist() == [SAY, PAD, PAD, PAD, PAD, PAD]
    assert second["input_ids"].tolist() == [SAY, A, PAD, PAD, PAD, PAD]
    assert second["attention_mask"].tolist() == [1, 1, 0, 0, 0, 0]
    assert second in env.observation_space


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (14, ValueError, "token 14 is out of range; the vocabulary has ids 0 to 13"),
        (-1, ValueError, "out of range"),
        (1.0, TypeError, "an integer"),
        (True, TypeError, "an integer"),
        ("a", TypeError, "an integer"),
        ([1], TypeError, "one token id"),
        (None, TypeError, "an integer"),
    ],
)
def test_token_env_refuses(action, error, message):
    env = TokenEnv(Guess())
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(action)
    env.step(np.int32(0))


def test_utterance_env_refuses():
    env = UtteranceEnv(Guess())
    env.reset(seed=0)
    with pytest.raises(TypeError, match="must be a text"):
        env.step(3)
    with pytest.raises(ValueError, match="at most 18 characters, got 19"):
        env.step("a" * 19)
    env.step("a" * 18)


@pytest.mark.parametrize(("env", "action"), [(TokenEnv, END), (UtteranceEnv, "b")])
def test_no_step_before_reset_or_after_the_end(env, action):
    env = env(Scripted(("", 1, True)))
    with pytest.raises(ValueError, match=r"call reset\(\) before step"):
        env.step(action)
    env.reset(seed=0)
    env.step(action)
    with pytest.raises(ValueError, match="the episode is over"):
        env.step(action)
    env.reset(seed=0)
    env.step(action)


@pytest.mark.parametrize("opening", ["", "<say>aa"])
@pytest.mark.parametrize("env", [TokenEnv, UtteranceEnv])
def test_an_opening_needs_tokens_and_room(env, opening):
    with pytest.raises(ValueError, match=r"opening observation has [03] tokens.*max_tokens=3"):
        env(Scripted(max_tokens=3, opening=opening)).reset(seed=0)


def as_tokens(env, text):
    """What the token level is told where the utterance level is told ``text``."""
    tokens = [*encode(env.tokenizer, [text])[0], env.end_id]
    return tokens[: min(tokens.index(env.end_id) + 1, env.task.max_utterance_tokens)]


texts = st.lists(st.text(st.sampled_from("abcdefgh? é🎬\n") | st.characters(codec="utf-8"), max_size=6), max_size=6)


@given(texts, st.integers(0, 99), st.integers(2, 24), st.integers(1, 4))
def test_both_levels_lead_to_the_same(said, seed, max_tokens, limit):
    task = Guess(max_utterance_tokens=limit)
    by_text = UtteranceEnv(task, max_tokens=max_tokens, render_mode="ansi")
    by_token = TokenEnv(task, max_tokens=max_tokens, render_mode="ansi")
    by_text.reset(seed=seed), by_token.reset(seed=seed)
    for text in said:
        expected = by_text.step(text[: by_text.max_characters])[1:]
        for token in as_tokens(by_token, text[: by_text.max_characters]):
            _, *got = by_token.step(token)
            if got[1] or got[2]:
                break
        assert tuple(got) == expected
        assert by_text.render() == by_token.render()
        if expected[1] or expected[2]:
            return


@pytest.mark.parametrize("name", ["<|end|>", "<|user|>", "<|agent|>", "<|pad|>"])
def test_the_name_of_a_special_token_in_a_text_is_text(name):
    env = UtteranceEnv(Scripted(("", 0, True), max_utterance_tokens=20, max_tokens=60), text_tokenizer())
    env.reset(seed=0)
    env.step(f"a{name}b")
    assert env.task.heard == [f"a{name}b"]
    assert env._tokens.count(env.end_id) == 1


def test_any_byte_level_tokenizer_will_do():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)} | {"<eos>": 256, "go": 257}, [("g", "o")]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    task = Scripted(("naïve 🎬", 1, True), max_utterance_tokens=20, max_tokens=60, opening="go on")
    env = TokenEnv(task, tokenizer, render_mode="ansi")
    env.reset(seed=0)
    for token in encode(env.tokenizer, ["gogo é"])[0]:
        env.step(token)
    assert env.step(256)[2]
    assert task.heard == ["gogo é"]
    assert env.render() == "go ongogo é<eos>naïve 🎬"


def test_action_masks_are_the_tasks_or_all():
    env = TokenEnv(Guess())
    assert env.action_masks().all()
    env.reset(seed=0)
    assert np.flatnonzero(env.action_masks()).tolist() == list(range(8))
    env.step(A)
    assert np.flatnonzero(env.action_masks()).tolist() == [*range(8), END]
    plain = TokenEnv(Scripted(("", 0, True)))
    plain.reset(seed=0)
    assert plain.action_masks().all()


@pytest.mark.parametrize(("env", "said"), [(TokenEnv, [A, A, END]), (UtteranceEnv, ["aa"])])
def test_rendering(env, said, capsys):
    task = Scripted(("?b", 0, False), ("!", 0, True))
    for mode, shown in [("ansi", ""), ("human", "<say>aa<end>?b")]:
        made = env(task, render_mode=mode)
        made.reset(seed=0)
        for action in said:
            made.step(action)
        assert made.render() == ("<say>aa<end>?b" if mode == "ansi" else None)
        assert capsys.readouterr().out == shown
    with pytest.raises(ValueError, match="render_mode must be"):
        env(task, render_mode="rgb_array")


@pytest.mark.parametrize(("env", "said"), [(TokenEnv, [A, END, A, END]), (UtteranceEnv, ["a", "a"])])
def test_each_episode_is_written_on_a_line_of_its_own(env, said, capsys):
    made = env(Scripted(("?", 0, False), ("!", 0, True)), render_mode="human")
    for _ in range(2):
        made.reset(seed=0)
        for action in said:
            made.step(action)
    made.reset(seed=0)
    made.reset(seed=0)
    assert capsys.readouterr().out.splitlines() == ["<say>a<end>?a<end>!"] * 2 + ["<say>"] * 2


def test_what_is_written_is_the_text_and_not_that_of_single_tokens(capsys):
    made = TokenEnv(MovieReview(), render_mode="human")
    made.reset(seed=0)
    for word in ("the", "movie", "</s>"):
        made.step(encode(made.tokenizer, [word])[0][0])
    assert "the movie" in capsys.readouterr().out


# Through gymnasium


@pytest.mark.parametrize("name", ["MovieReview-v0", "lang_envs:MovieReview-v0"])
def test_make(name):
    env = gym.make(name)
    assert isinstance(env.unwrapped, TokenEnv)
    assert isinstance(gym.make(name, level="utterance").unwrapped, UtteranceEnv)
    assert env.unwrapped.end_id == env.unwrapped.tokenizer.eos_token_id
    with pytest.raises(ValueError, match=r"call reset\(\) before step"):
        env.step(0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_token": 5}, TypeError, "MovieReview has no option 'max_token'; did you mean 'max_tokens'"),
        ({"lvel": "token"}, TypeError, "did you mean 'level'"),
        ({"xyz": 1}, TypeError, "choose one of instruction, level, markup, max_tokens"),
        ({"level": "word"}, ValueError, "level must be 'token' or 'utterance', got 'word'"),
    ],
)
def test_make_refuses_in_words(options, error, message):
    with pytest.raises(error, match=message):
        gym.make("MovieReview-v0", **options)


def test_wordle_option_names_are_suggested():
    with pytest.raises(TypeError, match="Wordle has no option 'wrods'; did you mean 'words'"):
        gym.make("Wordle-v0", wrods="english-100")
    with pytest.raises(TypeError, match="did you mean 'words'"):
        gym.make_vec("Wordle-v0", 2, wrods="english-100")


def test_a_made_task_can_be_registered_but_takes_no_options():
    assert make_env(task=Guess(), level="utterance").task.max_turns == 4
    assert make_env(task=Guess, max_turns=2).task.max_turns == 2
    with pytest.raises(TypeError, match=r"already made; give it \['max_turns'\]"):
        make_env(task=Guess(), max_turns=2)


def test_specs_fit_in_json():
    for name in ("MovieReview-v0", "Wordle-v0", "Wordle-Paper-v0"):
        assert gym.envs.registration.EnvSpec.from_json(gym.spec(name).to_json()) == gym.spec(name)
