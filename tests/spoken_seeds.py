"""Records from the environment's side which policies play episodes of which range of seeds (``lang_envs.seeds``)."""

from collections import defaultdict

from lang_envs import TokenVectorEnv
from lang_envs.seeds import ALL, EPISODES

AGENTS = {"Generation", "LMPolicy", "Prompted", "Prefixed", "Ranked", "the text", "the agent"}


def range_of(seed):
    """The name of the range that a seed belongs to; None where it is of none."""
    run = seed // EPISODES
    return next((r.name for r in ALL if r.start <= run < r.start + r.runs and run - r.start not in r.taken), None)


def watched(monkeypatch):
    """From now on: speaker -> names of the ranges it spoke in, and None for seeds of none."""
    seeds, found = {}, defaultdict(set)
    begin, say = TokenVectorEnv.begin, TokenVectorEnv.say

    def begun(self, rows, own, contexts=()):
        seeds.update({(id(self), row): seed for row, seed in zip(rows, own, strict=True)})
        return begin(self, rows, own, contexts)

    def said(self, rows, utterances, speaker="the agent"):
        found[speaker].update(range_of(seeds[id(self), row]) for row in rows)
        return say(self, rows, utterances, speaker)

    monkeypatch.setattr(TokenVectorEnv, "begin", begun)
    monkeypatch.setattr(TokenVectorEnv, "say", said)
    return found


def check(found, agents=("live training", "an evaluation")):
    """Agents play what is not recorded, and nobody a seed of no range."""
    everything = {seeds.name for seeds in ALL}
    for speaker, ranges in found.items():
        assert ranges <= (set(agents) if speaker in AGENTS else everything), (speaker, ranges)
