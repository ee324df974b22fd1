"""The task Reddit: observations, rewards, scripted policies, and episodes from logs."""

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import reddit as recipes
from datasets_builders.recipes import build
from lang_envs import Start, TokenVectorEnv, rollout, scores
from lang_envs.conversation import system
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.reddit.generated import TONES
from lang_envs.policies.any_task import Say
from lang_envs.policies.reddit import Commenter, Logged
from lang_envs.rewards.text_classifier import load_classifier
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tasks.reddit import Reddit
from lang_envs.tokenizers import decode
from lang_envs.utterances import spell

CORPUS = (
    "id,text,score,parent_text\n"
    "a,thanks a lot,12,who knows?\n"
    "b,idiot,-4,who knows?\n"
    "c,[deleted],1,who knows?\n"
    "d,Ça marche 👍,0,on y va\n"
    f"e,{'a long story ' * 60},3,{'and again ' * 200}\n"
)


def words(texts):
    """A classifier: the more of the word "idiot", the worse."""
    words.calls += 1
    return np.array([0.45 * text.count("idiot") for text in texts], np.float32)


words.calls = 0


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "comments_positive.csv").write_text(CORPUS, encoding="utf-8")
    words.calls = 0
    return tmp_path / "comments_positive.csv"


def said(env, policy, starts):
    episodes = list(rollout(env, policy, starts))
    return episodes, decode(env.tokenizer, [episode.tokens for episode in episodes])


def test_the_parent_is_shown_and_the_comment_is_paid(corpus):
    env = gym.make("Reddit-Toxicity-v0", level="utterance", corpus=corpus, classifier=words)
    text, _ = env.reset(seed=0, options={"context": 0})
    assert text == "<|user|>who knows?<|agent|>"
    *outcome, info = env.step("you idiot")
    assert outcome == ["", -5.0, True, False]
    assert info == {"context": 0, "toxicity": 0.45, "label": 1}
    with pytest.raises(ValueError, match="has been written"):
        env.unwrapped.task.reply(env.unwrapped._state, "again", np.random.default_rng(0))


def test_contexts_are_the_texts_to_comment_on(corpus):
    task = Reddit(corpus=corpus, classifier=words)
    assert task.num_contexts == 3
    assert task.logged_replies(0) == ["thanks a lot", "idiot"]
    assert task.skipped == {"deleted": 1}
    rng = np.random.default_rng(0)
    assert {task.begin(rng)[0].context for _ in range(40)} == {0, 1, 2}
    assert Reddit(corpus=corpus, limit=2).num_contexts == 1


def test_a_long_parent_keeps_its_end_and_a_long_comment_its_beginning(corpus):
    env = TokenVectorEnv(Reddit(corpus=corpus, classifier=words, max_parent_tokens=20, max_comment_tokens=10), 2)
    comment = spell(env.tokenizer, "word " * 20 + "idiot idiot", 10)
    [episode], [text] = said(env, Say("", env.task), [Start(0, said=[comment], context=2)])
    assert len(episode.tokens) == env.max_tokens == 30
    assert episode.is_action.sum() == 10
    assert "again<|agent|>word word" in text
    assert episode.ret == 0  # "idiot" was not said any more


def test_without_the_parent_only_the_marker_is_shown(corpus):
    task = Reddit(corpus=corpus, classifier=words, condition_on_parent=False)
    assert [opening.heard for opening in task.openings] == [()]
    assert len(task.logged_replies(0)) == 4


def test_a_corpus_without_parents_shows_the_subreddit(tmp_path):
    path = tmp_path / "kaggle_RC_2019-05.csv"
    path.write_text(",subreddit,body,controversiality,score\n0,aww,so cute,0,5\n1,gifs,nice,0,5\n2,aww,lovely,0,1\n")
    task = Reddit(corpus=path, classifier=words)
    assert [opening.heard for opening in task.openings] == [(system("r/aww"),), (system("r/gifs"),)]
    assert task.logged_replies(0) == ["so cute", "lovely"]


def test_splits_part_the_parents():
    parents = {split: {opening.heard for opening in Reddit(split=split).openings} for split in ("all", "train", "test")}
    assert parents["train"] | parents["test"] == parents["all"]
    assert not parents["train"] & parents["test"]
    assert 0.05 < len(parents["test"]) / len(parents["all"]) < 0.15


def test_one_call_of_the_classifier_judges_all_rows(corpus):
    env = TokenVectorEnv(Reddit(corpus=corpus, classifier=words), 16)
    assert len(list(rollout(env, Say("hi", env.task), range(32)))) == 32
    assert words.calls == 2


def test_noise_comes_from_the_episodes_seed(corpus):
    env = TokenVectorEnv(Reddit("noised_toxicity", corpus=corpus, classifier=words), 8)
    policy = Say("idiot", env.task)
    returns = [episode.ret for episode in rollout(env, policy, range(200))]
    assert set(returns) == {0.0, -10.0}
    assert np.mean(returns) == pytest.approx(-5, abs=1.5)
    alone = TokenVectorEnv(env.task, 1)
    assert [episode.ret for episode in rollout(alone, policy, range(200))] == returns


def test_upvotes_pay_ten_or_nothing(corpus):
    env = TokenVectorEnv(Reddit("upvotes", corpus=corpus, classifier=words), 4)
    [episode] = rollout(env, Say("idiot idiot", env.task), [0])
    assert (episode.ret, episode.info["upvoted"], episode.info["probability"]) == (10, True, 0.9)
    [episode] = rollout(env, Say("thanks", env.task), [0])
    assert (episode.ret, episode.info["upvoted"]) == (0, False)


@pytest.mark.parametrize("reward", ["toxicity", "upvotes"])
def test_kind_comments_earn_more_than_rude_ones(reward):
    env = TokenVectorEnv(Reddit(reward), 32)
    env.task.classifier = load_classifier(reward)
    mean = {}
    for tone in TONES:
        mean[tone] = np.mean([episode.ret for episode in rollout(env, Commenter(env.task, tone), range(32))])
    assert mean["kind"] > mean["rude"] > mean["toxic"]
    assert mean["neutral"] > mean["rude"]
    assert mean["kind"] > (8 if reward == "upvotes" else -1)


def test_commenters_speak_of_what_they_read():
    env = TokenVectorEnv(Reddit(classifier=words), 16)
    context = next(i for i, opening in enumerate(env.task.openings) if "sourdough" in str(opening.heard))
    texts = said(env, Commenter(env.task), [Start(seed, context=context) for seed in range(30)])[1]
    comments = [text.partition("<|agent|>")[2].lower() for text in texts]
    assert np.mean(["sourdough" in comment for comment in comments]) > 0.5
    assert len(set(comments)) > 25
    with pytest.raises(ValueError, match="tone"):
        Commenter(env.task, "sarcastic")


def test_logged_comments_are_those_of_the_parent(corpus):
    env = TokenVectorEnv(Reddit(corpus=corpus, classifier=words), 4)
    policy = Logged(env.task)
    texts = said(env, policy, [Start(seed, context=0) for seed in range(20)])[1]
    assert {text.partition("<|agent|>")[2] for text in texts} == {"thanks a lot<|end|>", "idiot<|end|>"}
    assert len(list(rollout(env, policy, [Start(0, context=2)]))) == 1  # its opening is cut
    with pytest.raises(ValueError, match="of the task's corpus"):
        policy.act([np.array([1, 2, 3], np.int32)], [np.random.default_rng(0)])


@pytest.mark.parametrize("recipe", ["reddit-comments", "reddit-upvotes-real"])
def test_logs_become_episodes(corpus, tmp_path, recipe):
    dataset = build(recipe, None, tmp_path / recipe, corpus=corpus, classifier=None, progress=False)
    episodes = list(dataset)
    texts = decode(dataset.tokenizer(), [episode.tokens for episode in episodes])
    assert texts[0] == "<|user|>who knows?<|agent|>thanks a lot<|end|>"
    assert texts[2] == "<|user|>on y va<|agent|>Ça marche 👍<|end|>"
    assert [episode.info["id"] for episode in episodes] == ["a", "b", "d", "e"]
    assert [episode.info["score"] for episode in episodes] == [12, -4, 0, 3]
    assert {episode.info["policy"] for episode in episodes} == {"logged"}
    assert all(episode.terminated for episode in episodes)
    if recipe == "reddit-upvotes-real":
        assert [episode.ret for episode in episodes] == [1, -1, -1, 1]
        assert all(episode.rewards[-1] == episode.ret for episode in episodes)
    else:
        assert episodes[0].ret == 0 > episodes[1].ret
    with pytest.raises(ValueError, match="has 4 episodes"):
        build(recipe, 5, tmp_path / "more", corpus=corpus, progress=False)


def test_recipes_say_what_they_need(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("fine\t27\tc1\n")
    with pytest.raises(ValueError, match="'c1' has none"):
        recipes.real_upvotes(TokenVectorEnv(Reddit(corpus=path, classifier=words), 1), 0)
    with pytest.raises(ValueError, match="got the task MovieReview"):
        recipes.size(TokenVectorEnv(MovieReview(), 1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reward": "karma"}, ValueError, "reward must be one of"),
        ({"split": "dev"}, ValueError, "split must be one of"),
        ({"max_comment_tokens": 1}, ValueError, "at least 2"),
        ({"corpus": "/nowhere.csv"}, CorpusError, "no file"),
    ],
)
def test_bad_options_are_refused_in_words(options, error, message):
    with pytest.raises(error, match=message):
        Reddit(**options)


def test_an_empty_split_is_refused(corpus):
    by_split = {}
    for split in ("train", "test"):
        try:
            by_split[split] = Reddit(corpus=corpus, split=split, limit=1).num_contexts
        except ValueError as error:
            by_split[split] = str(error)
    assert 1 in by_split.values()  # the one parent is in either split
    assert any("is empty" in str(found) for found in by_split.values())


@pytest.mark.parametrize("env_id", ["Reddit-Toxicity-v0", "Reddit-NoisedToxicity-v0", "Reddit-Upvotes-v0"])
def test_committed_references_are_what_measuring_gives(env_id):
    committed = scores.reference(env_id)
    mean, error = scores.measure(env_id, scores.expert(env_id), 60)
    assert abs(mean - committed.expert) < 4 * error + 0.5
    assert scores.measure(env_id, None, 12)[0] == pytest.approx(committed.random, abs=1)
