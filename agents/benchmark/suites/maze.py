"""LMRL-Gym's maze (Abdulhai et al. 2023, arXiv:2311.18232), where the agent sees its position or only the walls.

Scores are normalised as in that paper and divided by 100. The published returns are those of GPT-2, trained on data
that are not available.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import IMITATION, Decodings, perturbed

FIT: dict[str, Any] = {
    "steps": 3000,
    "batch_size": 4,
    "lr": 3e-3,
    "head_lr": 3.0,
    "final_lr": 0.02,
    "warmup_steps": 50,
    "betas": (0.9, 0.95),
}
IMITATION_FIT: dict[str, Any] = {**FIT, "steps": 800}
"""imitation of random walks needs few steps"""
VALUES: dict[str, Any] = {
    "gamma": 0.95,
    "target_rate": 0.1,
    "num_q": 1,
    "cql_weight": 0.0,
    "bc_weight": 0.05,
    "bias_init": -10.0,
    "value_unit": 2.0,
    "trunk_gradient": 1.0,
}
"""The log's steps are mostly random, so a large weight of imitation would hide what the values learn. The values are
about the size of the return that remains of a good walk, which is far smaller than the cost of a logged walk. This
discount makes the values of neighbouring cells differ more, in relation to their size."""
FAR: dict[str, Any] = {**VALUES, "gamma": 0.99, "bias_init": -50.0, "value_unit": 5.0}
"""for SARSA, whose values are the costs of the logged walks: these take many more steps to the goal"""
RETURNS: dict[str, Any] = {**VALUES, "gamma": 0.98, "bias_init": -30.0, "value_unit": 8.0}
"""for Monte Carlo: the more steps a return covers, the noisier it is"""
PSI: dict[str, Any] = {**VALUES, "bias_init": -20.0, "value_unit": 4.0, "kl_weight": 1.0, "bc_weight": 0.3}
"""Values are in nats: with this kl_weight a reward of -1 is one nat. They start no higher than the values of the logged
walks. Otherwise tokens that no log holds would seem better than those it holds."""

PPO: dict[str, Any] = {"gamma": 0.95, "kl_coef": 0.01, "rollout_tokens": 64}
"""A walk is cut after 64 steps, and its value is bootstrapped there. At this discount returns are small enough for a
head to learn them fast."""
PPO_FIT: dict[str, Any] = {"steps": 60, "lr": 2e-3, "final_lr": 0.1}

WEIGHTS = perturbed(0.5, 1, 2, 4, 16, top_p=(0.95,))
TARGETS: Decodings = tuple(
    {"target": target, **way} for target in (0.0, -10.0, -40.0) for way in ({"greedy": True}, {}, {"top_p": 0.5})
)
PSI_WEIGHTS = perturbed(1, 2, 4, top_p=(0.95,))  # 1 is what they are made for

CELLS = (
    Cell("BC", "bc", fit=IMITATION_FIT, decodings=IMITATION),
    Cell("%BC", "bc", {"keep_top": 0.2}, IMITATION_FIT, IMITATION),
    Cell("Monte Carlo", "monte_carlo", RETURNS, FIT, WEIGHTS),
    Cell("SARSA", "sarsa", {**FAR, "backup": "utterance"}, FIT, WEIGHTS),
    Cell("ILQL", "ilql", {**VALUES, "tau": 0.9}, FIT, WEIGHTS),
    Cell("AWR", "awr", {**VALUES, "tau": 0.9, "bc_weight": 0.3, "awr_temperature": 0.25}, FIT, IMITATION),
    Cell("CQL", "cql", {**VALUES, "cql_weight": 0.1}, FIT, WEIGHTS),
    Cell("psi", "psi", PSI, FIT, PSI_WEIGHTS),
    Cell("DT", "decision_transformer", {"bins": 8}, IMITATION_FIT, TARGETS),
    Cell("PPO", "ppo", PPO, PPO_FIT, IMITATION, start="BC", live=1.0),
)

ABOUT = (
    "In the log's walks one step in sixty is taken towards the goal on purpose, and the others are random. An agent"
    " that imitates the log and samples as it learned walks at random. Its likeliest step is a better one, because "
    "a step towards the goal is slightly more frequent than the others. LMRL-Gym's own data are not available; "
    "these logs have the same number of walks, 1,240, and the same mean return, -83. Every method trains from "
    "scratch, except PPO, which starts from the BC agent. A greedy agent walks once from every cell. The published "
    "returns are LMRL-Gym's. They are those of GPT-2, which drew each step from the four possible steps by their "
    "likelihood. Here an agent may say any token, and each agent is decoded in the way that was best for it. "
    "Settings were chosen by the returns they earned in the maze where the position is seen, with training seeds "
    "that are among the reported ones. "
)
SEEN = "The model has one layer. It learns sooner than a model of two layers that only the last observation matters. "
MEMORY = (
    "The agent sees only the walls around it. Many cells look alike, and only earlier observations tell them apart. "
    "The optimal return is -7.24. LMRL-Gym's scores are normalised with -25.75 as the best return, so scores can "
    "exceed 1. "
)


def walks(name: str, env: str, title: str, about: str, lm: str, best: float, published: dict[str, float]) -> Experiment:
    """Every method on the walks of one environment; ``best`` is what LMRL-Gym's scores take for it."""
    return Experiment(
        name=name,
        title=title,
        about=about,
        data=Data("maze", episodes=1240, options={"env_id": env}),
        env=env,
        lm=lm,
        cells=CELLS,
        baselines=(
            Baseline("random walk", "random"),
            Baseline("logged walker", "walker"),
            Baseline("optimal", "optimal"),
        ),
        normalise=(-101.0, -83.0, best),
        published={f"LMRL-Gym's {method}": mean for method, mean in published.items()},
        episodes=250,
        selection_episodes=50,
        split_starts=False,
    )


MAZE = Suite(
    name="maze",
    title="LMRL-Gym's maze",
    seeds=5,
    experiments=(
        walks(
            "position",
            "Maze-v0",
            "The maze, where the position is seen",
            ABOUT + SEEN,
            "d64-l1",
            -6.84,
            {"BC": -72.1, "%BC": -56.4, "Monte Carlo": -48.1, "ILQL": -6.97, "PPO": -37.7},
        ),
        walks(
            "walls",
            "Maze-PO-v0",
            "The maze, where only walls are seen",
            ABOUT + MEMORY,
            "d64-l2",
            -25.75,
            {"BC": -79.5, "%BC": -82.9, "Monte Carlo": -80.3, "ILQL": -52.9, "PPO": -91.7},
        ),
    ),
)
