import itertools

import gymnasium as gym
import numpy as np
import pytest

from lang_envs import Episodes, TokenVectorEnv, rollout
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import OFF_GRAMMAR, REVIEWS, VOCABULARY, MovieReview
from lang_envs.tokenizers import encode

TASK = MovieReview()


def history(text):
    return np.array(encode(TASK.tokenizer(), [f"review : {text}"])[0])


def token(word):
    return VOCABULARY.index(word)


def say(text):
    env = gym.make("MovieReview-v0", level="utterance")
    env.reset(seed=0)
    return env.step(text)


@pytest.mark.parametrize("review", REVIEWS, ids=lambda review: review.text)
def test_every_review_pays_its_reward(review):
    _, reward, terminated, truncated, info = say(review.text)
    assert reward == pytest.approx(review.reward)
    assert (terminated, truncated) == (True, False)
    assert info == {"success": review.reward == 1.0, "grammatical": True, "context": 0}


@pytest.mark.parametrize(
    "text", ["", "the movie", "was good", "the movie was good good", "naïve 🎬", "<pad>", "the " * 9]
)
def test_anything_else_pays_less_than_every_review(text):
    _, reward, _, _, info = say(text)
    assert reward == OFF_GRAMMAR < min(review.reward for review in REVIEWS)
    assert info == {"success": False, "grammatical": False, "context": 0}


def test_shares_add_up_and_the_tale_holds():
    assert sum(review.share for review in REVIEWS) == pytest.approx(1)
    q = TASK.behaviour_q(history("the movie"))
    assert q[token("was")] > 0 > q[token("wasn't")]
    best = TASK.optimal_q(history("the movie"))
    assert best[token("wasn't")] == TASK.optimal_return == 1.0
    assert best[token("was")] == 0.6
    # Even after "wasn't good", going on looks worse on average than stopping.
    q = TASK.behaviour_q(history("the movie wasn't good"))
    assert q[token("it")] < q[TASK.end_id]


def test_the_docs_page_states_the_table():
    page = MovieReview.__doc__
    for review in REVIEWS:
        assert f"| {review.text} | {review.reward} | {review.share:.2f} |" in page
    assert f"| {TASK.behaviour_return:.3f} | exact" in page
    assert f"`Discrete({len(VOCABULARY)})`" in page
    assert f"has at most {TASK.max_utterance_tokens} tokens" in page
    assert f"at most {TASK.max_tokens}:" in page


def every_prefix():
    """All histories on the way to a review."""
    return {TASK.opening + tokens[:i] for tokens in TASK.reviews for i in range(len(tokens))}


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_behaviour_values_obey_bellmans_equation(gamma):
    for prefix in every_prefix():
        policy, q = TASK.behaviour_policy(prefix), TASK.behaviour_q(prefix, gamma)
        assert policy.sum() == pytest.approx(1)
        assert (np.isnan(q) == (policy == 0)).all()
        assert TASK.behaviour_value(prefix, gamma) == pytest.approx(np.nansum(policy * q))
        for action in np.flatnonzero(policy):
            if action != TASK.end_id:
                assert q[action] == pytest.approx(gamma * TASK.behaviour_value((*prefix, action), gamma))
    assert TASK.behaviour_value(TASK.opening) == pytest.approx(TASK.behaviour_return)


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5, 0.0])
def test_optimal_values_obey_bellmans_equation_off_the_grammar_too(gamma):
    off = {(*prefix, action) for prefix in every_prefix() for action in range(len(VOCABULARY))}
    for prefix in every_prefix() | off:
        said = prefix[len(TASK.opening) :]
        if TASK.end_id in said:
            continue
        q = TASK.optimal_q(prefix, gamma)
        assert TASK.optimal_value(prefix, gamma) == q.max()
        for action in range(len(VOCABULARY)):
            if action == TASK.end_id:
                text = " ".join(VOCABULARY[i] for i in said)
                assert q[action] == pytest.approx(say(text)[1] if action not in said else OFF_GRAMMAR)
            else:
                assert q[action] == pytest.approx(gamma * TASK.optimal_value((*prefix, action), gamma))


def test_optimal_values_at_the_last_token():
    full = (*TASK.opening, *[token("the")] * (TASK.max_utterance_tokens - 1))
    assert TASK.optimal_q(full, 0.5).tolist() == [OFF_GRAMMAR] * len(VOCABULARY)


def test_values_need_a_history_that_goes_on():
    for wrong in ([], [token("the")], (*TASK.opening, TASK.end_id), history("the " * 12)):
        with pytest.raises(ValueError, match=r"history begins|is over"):
            TASK.optimal_value(wrong)
    assert np.isnan(TASK.behaviour_value(history("was")))


def test_following_the_optimum_earns_it():
    said = list(TASK.opening)
    while said[-1] != TASK.end_id:
        said.append(int(TASK.optimal_q(said).argmax()))
    text = " ".join(VOCABULARY[i] for i in said[2:-1])
    assert text == "the movie wasn't good it was superb"
    assert say(text)[4]["success"]


def test_logged_reviews_have_their_shares_and_probabilities():
    episodes = list(rollout(TokenVectorEnv(TASK, 256), Reviewer(TASK), range(4000)))
    texts = TASK.tokenizer().batch_decode([e.tokens[2:-1] for e in episodes])
    for review in REVIEWS:
        assert texts.count(review.text) / 4000 == pytest.approx(review.share, abs=0.03)
        assert review.text in texts
    assert Episodes.from_list(episodes).returns.mean() == pytest.approx(TASK.behaviour_return, abs=0.04)
    for episode, text in itertools.islice(zip(episodes, texts, strict=True), 50):
        share = next(review.share for review in REVIEWS if review.text == text)
        assert np.nansum(episode.logprobs) == pytest.approx(np.log(share), abs=1e-5)
        for i in range(2, len(episode)):
            policy = TASK.behaviour_policy(episode.tokens[:i])
            assert episode.logprobs[i] == pytest.approx(np.log(policy[episode.tokens[i]]), abs=1e-5)


def test_legal_tokens_lead_to_reviews():
    env = TokenVectorEnv(TASK, 1)
    rng = np.random.default_rng(0)
    for seed in range(30):
        env.reset(seed=seed)
        while not env.finished[0]:
            env.step([rng.choice(np.flatnonzero(env.action_masks()[0]))])
        assert env.episode(0).info["grammatical"]
    env.reset(seed=0)
    env.step([token("was")])
    assert env.action_masks().all()
