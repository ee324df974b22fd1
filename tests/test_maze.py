"""The maze: LMRL-Gym's rules and texts, its best walks, and the policy of the logs."""

import hashlib
from collections import deque

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import build
from lang_envs import Start, Turn, rollout
from lang_envs.policies.maze import GOOD_STEPS, TURNS, RandomWalk, ShortestPath, Walker
from lang_envs.tasks.maze import CELLS, DIRECTIONS, GOAL, LIMIT, MAP, NEXT, VOCABULARY, Maze, MazeState
from lang_envs.tokenizers import character_tokenizer
from lang_envs.utterances import spell

IDS = ("Maze-v0", "Maze-PO-v0")
FIRST = (1, 1)
SOLUTION = ["right"] * 2 + ["down"] * 4 + ["right"] * 3 + ["down"] * 3
"""from the cell in the upper left corner"""


def walk(task, steps, start=FIRST):
    rng = np.random.default_rng(0)
    state, text = task.begin_at(CELLS.index(start), rng)
    replies, texts = [], [text]
    for step in steps:
        replies.append(task.reply(state, step, rng))
        state = replies[-1].state
        texts.append(replies[-1].text)
    return replies, texts


def distances():
    """Steps from each cell to the goal, by breadth-first search on the drawn map."""
    found, waiting = {CELLS[GOAL]: 0}, deque([CELLS[GOAL]])
    while waiting:
        y, x = waiting.popleft()
        for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if MAP[near[0]][near[1]] == "." and near not in found:
                found[near] = found[y, x] + 1
                waiting.append(near)
    return np.array([found[cell] for cell in CELLS])


# Rules


def test_a_walk_to_the_goal():
    replies, texts = walk(Maze(), SOLUTION)
    assert [reply.reward for reply in replies] == [-1.0] * 11 + [0.0]
    assert texts == [
        "1,1", "1,2", "1,3", "2,3", "3,3", "4,3", "5,3", "5,4", "5,5", "5,6", "6,6", "7,6", "success"
    ]  # fmt: skip
    assert [reply.terminated for reply in replies] == [False] * 11 + [True]
    assert replies[-1].info == {"success": True, "valid": True, "context": 0}
    with pytest.raises(ValueError, match="over"):
        Maze().reply(replies[-1].state, "up", np.random.default_rng(0))


def test_a_wall_costs_a_step():
    (reply,), texts = walk(Maze(), ["up"])
    assert (reply.reward, reply.terminated, texts) == (-1.0, False, ["1,1", "1,1"])
    assert reply.info == {"success": False, "valid": True, "context": 0}


@pytest.mark.parametrize("text", ["", "move up", "Right", "right right", "<pad>", "success", "\n\n", "1,1", "né"])
def test_what_is_no_step_costs_four_and_leads_nowhere(text):
    (reply,), texts = walk(Maze(), [text], start=(5, 9))
    assert (reply.reward, reply.terminated, texts) == (-4.0, False, ["5,9", "5,9"])
    assert reply.info == {"success": False, "valid": False, "context": CELLS.index((5, 9))}


@pytest.mark.parametrize(("said", "earned"), [("up", -101.0), ("huh", -401.0)])
def test_after_a_hundred_steps_the_next_is_not_walked(said, earned):
    replies, texts = walk(Maze(), [said] * LIMIT + ["down"], start=(7, 6))
    assert sum(reply.reward for reply in replies[:LIMIT]) + 1 + replies[LIMIT].reward == earned + 1
    assert not replies[LIMIT].terminated and replies[LIMIT].state.cell == replies[LIMIT - 1].state.cell
    assert texts[-1] == texts[-2]
    env = gym.make("Maze-v0", level="utterance")
    env.reset(options={"context": 24})
    outcomes = [env.step(said)[1:4] for _ in range(LIMIT + 1)]
    assert sum(reward for reward, *_ in outcomes) == earned
    assert [flags for _, *flags in outcomes] == [[False, False]] * LIMIT + [[False, True]]  # truncated at the last


def test_lmrl_gyms_texts():
    task = Maze(style="lmrl")
    replies, texts = walk(task, ["move left", "move up\n", "up"], start=(1, 11))
    assert texts == [
        "The goal is at position 8, 6. Your current position is at position 1, 1 1. "
        "There are walls to your right, above you, below you.\n",
        *["The goal is at position 8, 6. Your current position is at position 1, 1 0. "
        "There are walls above you, below you.\n"] * 3,
    ]  # fmt: skip
    assert [reply.reward for reply in replies] == [-1, -1, -4]
    partly = Maze(observed="walls", style="lmrl")
    replies, texts = walk(partly, [f"move {step}" for step in SOLUTION])
    assert texts[:3] == [
        "There are walls to your left, above you, below you.\n",
        "There are walls above you, below you.\n",
        "There is a wall above you.\n",
    ]
    assert (texts[-1], sum(reply.reward for reply in replies)) == ("Success\n", -11)
    assert walk(partly, ["move up"] * (LIMIT + 1))[1][-1] == "Failure\n"
    assert Maze().in_words("1,3") == task.texts[2].removesuffix("\n") and Maze().in_words("success") == "success"


def test_only_walls_are_seen():
    _, texts = walk(Maze(observed="walls"), SOLUTION)
    assert texts[:7] == [
        "walls:left,up,down", "walls:up,down", "walls:up", *["walls:right,left"] * 3, "walls:left,down"
    ]  # fmt: skip
    assert len(set(Maze(observed="walls").texts)) == 7


@pytest.mark.parametrize("env_id", IDS)
def test_a_whole_walk_fits(env_id):
    for options in ({}, {"style": "lmrl"}):
        env = gym.make_vec(env_id, 25, **options)
        task = env.unwrapped.task
        said = spell(env.unwrapped.tokenizer, next(iter(task.steps)), task.max_utterance_tokens)

        class Always:
            def act(self, histories, rngs, said=said):
                return [Turn(said)] * len(histories)

        played = list(rollout(env, Always(), [Start(0, context=context) for context in range(25)]))
        assert {episode.ret for episode in played} == {-101.0}
        longest = max(map(len, played))
        assert longest == env.unwrapped.max_tokens if not options else longest < env.unwrapped.max_tokens


@pytest.mark.parametrize("options", [{"observed": "all"}, {"style": "short"}])
def test_options_that_there_are_not(options):
    with pytest.raises(ValueError, match="must be one of"):
        Maze(**options)


# Tokens


def test_the_tokens_of_a_step():
    task = Maze()
    tokenizer = task.tokenizer()
    assert tokenizer.get_vocab() == VOCABULARY and len(VOCABULARY) == 39

    def legal(*said):
        found = task.legal_tokens(None, [VOCABULARY[token] for token in said], tokenizer)
        return [token for token, i in VOCABULARY.items() if found[i]]

    assert legal() == list(DIRECTIONS)
    other = character_tokenizer([*VOCABULARY][::-1], end_token="</s>", pad_token="<pad>")
    assert task.legal_tokens(None, [], other) is None
    assert Maze(style="lmrl").legal_tokens(None, [], Maze(style="lmrl").tokenizer()) is None


def digest(env_id):
    env = gym.make_vec(env_id, 8)
    h = hashlib.sha256()
    for episode in rollout(env, RandomWalk(env.unwrapped.task), range(20)):
        h.update(episode.tokens.astype("<i4").tobytes() + episode.rewards.astype("<f4").tobytes())
    return h.hexdigest()[:16]


@pytest.mark.parametrize(("env_id", "golden"), [("Maze-v0", "f2ddf17d76e7a47c"), ("Maze-PO-v0", "54ff112cec5a584d")])
def test_golden_episodes(env_id, golden):
    assert digest(env_id) == golden


# Walkers


def test_the_optimum_where_the_position_is_seen():
    shortest = distances()
    assert (1 - shortest[:GOAL]).mean() == ShortestPath(Maze()).optimum == -6.84
    env = gym.make_vec("Maze-v0", 25)
    played = rollout(env, ShortestPath(env.unwrapped.task), [Start(0, context=context) for context in range(25)])
    assert [episode.ret for episode in played] == (1 - shortest[:GOAL]).tolist()


def test_the_optimum_where_only_walls_are_seen():
    """What the values of beliefs promise is what is walked, and no more than the position would allow."""
    env = gym.make_vec("Maze-PO-v0", 25)
    best = ShortestPath(env.unwrapped.task)
    played = [e.ret for e in rollout(env, best, [Start(0, context=context) for context in range(25)])]
    assert np.mean(played) == pytest.approx(best.optimum) == pytest.approx(-7.24)
    assert (np.array(played) <= 1 - distances()[:GOAL]).all()


def test_a_belief_is_where_the_walls_and_the_steps_allow():
    best = ShortestPath(Maze(observed="walls"))
    ids = [VOCABULARY[word] for word in ("walls:left,up,down", "right", "walls:up,down", "right")]
    assert {CELLS[cell] for cell in best.belief(ids[:1])} == {(1, 1), (1, 7)}
    assert {CELLS[cell] for cell in best.belief([*ids, VOCABULARY["walls:up"]])} == {(1, 3), (1, 9)}
    down = [VOCABULARY[word] for word in ("walls:up", "down", "walls:right,left")]
    assert {CELLS[cell] for cell in best.belief(down)} == {(2, 3), (2, 9), (6, 6)}
    nothing = [VOCABULARY[word] for word in ("walls:left,down", "<pad>", "walls:left,down")]
    assert {CELLS[cell] for cell in best.belief(nothing)} == {(5, 3)}


def mean_return(good):
    """Of walkers where the position is seen: backward induction over the steps that are left."""
    shortest, worth = distances(), np.append(np.full(GOAL, -1.0), 0.0)
    for _ in range(LIMIT):
        q = np.where(NEXT == GOAL, 0.0, -1.0 + worth[NEXT])  # [26, 4]
        closer = shortest[NEXT] < shortest[:, None]  # [26, 4]
        worth = good * (q * closer).sum(1) + (1 - good) * q.mean(1)
        worth[GOAL] = 0.0
    return worth[:GOAL].mean()


def test_walks_of_the_logs_earn_what_lmrl_gyms_do(tmp_path):
    assert mean_return(GOOD_STEPS) == pytest.approx(-83, abs=0.1)
    logs = build("maze", 1240, tmp_path / "logs", progress=False)
    error = logs.returns.std() / len(logs) ** 0.5
    assert abs(logs.returns.mean() - mean_return(GOOD_STEPS)) < 3 * error
    better = build("maze", 200, tmp_path / "better", progress=False, env_id="Maze-PO-v0", good=0.5)
    assert -30 < better.returns.mean() < -10


def test_walkers_speak_the_mazes_own_tokens(tmp_path):
    for policy in (RandomWalk, ShortestPath, Walker):
        with pytest.raises(ValueError, match="style='words'"):
            policy(Maze(style="lmrl"))
    for wrong in ({"style": "lmrl"}, {"env_id": "MovieReview-v0"}):
        with pytest.raises(ValueError, match=r"own tokens|needs the environment Maze"):
            build("maze", 2, tmp_path / "logs", progress=False, **wrong)
    assert [DIRECTIONS[turn.tokens[0] - 2] for turn in TURNS] == list(DIRECTIONS)
    assert MazeState(0, 0).said == 0
