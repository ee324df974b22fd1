"""LMRL-Gym's maze (Abdulhai et al. 2023, arXiv:2311.18232), seeing the position or the walls alone.

Scores are normalised as there, divided by 100. What others report was played by GPT-2 on data that are not to be had.
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
"""imitation of walks at random is learned soon"""
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
"""the log's steps are noise, which hides what values learn if it weighs much; values are of the size of what is left of
a good walk, far less than what walks of the log cost. At this discount neighbouring cells differ by more of it"""
FAR: dict[str, Any] = {**VALUES, "gamma": 0.99, "bias_init": -50.0, "value_unit": 5.0}
"""of those who value what walks of the log cost, whose goal is further away"""
RETURNS: dict[str, Any] = {**VALUES, "gamma": 0.98, "bias_init": -30.0, "value_unit": 8.0}
"""of Monte Carlo, whose returns are noisier the further they reach"""
PSI: dict[str, Any] = {**VALUES, "bias_init": -20.0, "value_unit": 4.0, "kl_weight": 1.0, "bc_weight": 0.3}
"""in nats, of which a step buys one; no higher than what walks are worth, since what nobody says would seem free"""

PPO: dict[str, Any] = {"gamma": 0.95, "kl_coef": 0.01, "rollout_tokens": 64}
"""a walk that was cut after 64 steps is bootstrapped; at this discount returns are of a size that a head learns fast"""
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
    "Walks of the log are random but for one step in sixty, so that imitation walks at random and the likeliest step "
    "is hardly better. LMRL-Gym's own data are not to be had: these have their number of walks, 1,240, and their mean "
    "return, -83. All start from scratch but PPO, which starts from BC. Who is greedy walks from every cell once. "
    "Published are LMRL-Gym's returns, of GPT-2, whose steps were drawn from the four there are by their likelihood; "
    "here any token may be said, and each agent is decoded as was best. "
    "Settings were chosen by the returns that they earned where the position is seen, with training seeds that are "
    "reported too. "
)
SEEN = "The model has one layer, which learns sooner than two that only the last observation matters. "
MEMORY = (
    "Only the walls around are seen: cells look alike, and what was seen before tells them apart. The best there is "
    "earns -7.24; LMRL-Gym's scores take -25.75 for the best, and so reach beyond 1. "
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
            Baseline("who walked in the log", "walker"),
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
