"""Asking before answering: the comparison of Mukherjee et al. 2025 (arXiv:2506.06964), with further controls."""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import IMITATION, LEARNED, OFFLINE_GRPO, perturbed, ranked

# Models learn last which letter belongs to the choice that the user wants.
BASE_FIT: dict[str, Any] = {
    "steps": 3000,
    "batch_size": 32,
    "lr": 3e-3,
    "warmup_steps": 100,
    "final_lr": 0.1,
    "betas": (0.9, 0.95),
}
FIT: dict[str, Any] = {"steps": 300, "batch_size": 32, "lr": 5e-4, "warmup_steps": 20}
GENTLE: dict[str, Any] = {**FIT, "lr": 1e-4}
VALUES = {**LEARNED, "gamma": 1.0}

BASELINES = (
    Baseline("random tokens", "random_tokens"),
    Baseline("any answer", "random_answer"),
    Baseline("answers at once", "answer_at_once"),
    Baseline("asks, then answers", "ask_then_answer"),
)


# Half of them ask what matters. From these a model learns which letter belongs to the choice that the user wants.
ASSISTANTS = ("asks", "asks", "asks", "asks-irrelevant", "answers-at-once", "answers-anything")


def logs(horizon: int, episodes: int, seed: int = 0) -> Data:
    """Four conversations about each question."""
    options = {"corpus": "sorted", "horizon": horizon, "format_weight": 0.1, "assistants": ASSISTANTS}
    return Data("clarifying-qa", episodes=episodes, seed=seed, options=options)


def cell(label: str, agent: str, config: dict[str, Any] | None = None, fit: dict[str, Any] = FIT, **more: Any) -> Cell:
    """A method that goes on from Base and is decoded as Base is."""
    return Cell(label, agent, config or {}, fit, **{"decodings": IMITATION, "start": "Base", **more})


BASE = Cell("Base", "bc", fit=BASE_FIT, decodings=IMITATION, data=logs(3, 32_768, seed=1))
SAME_BASE = Cell("Base", "bc", decodings=IMITATION, start="clarifying-qa-3/Base", trained=False)
CORE = (
    cell("SFT, all", "bc"),
    cell("SFT, top 1", "bc", {"keep_best": 1}),
    cell("Refit", "refit"),
    cell("Swift", "swift", {"reference": "start"}, GENTLE),
)
OTHERS = (
    cell("SFT, top 1, as many rows", "bc", {"keep_best": 1}, data=logs(3, 16_384)),
    cell("Refit, r - min", "refit", {"shift_rewards": True}),
    cell("exponential weights", "refit", {"temperature": 0.25}),
    cell("Swift, clipped", "swift", {"negatives": "clip", "reference": "start"}, GENTLE),
    cell("Swift, tapered", "swift", {"negatives": "taper", "reference": "start"}, GENTLE),
    cell("DPO", "dpo", {"pairs_per_context": 1}, GENTLE),
    cell("DPO, per turn", "dpo", {"per": "turn", "pairs_per_context": 1}, GENTLE),
    cell("KTO", "kto", {}, GENTLE),
    cell("GRPO, logged", "grpo", OFFLINE_GRPO, GENTLE),
    cell("ArCHer", "archer"),
    cell("MC", "monte_carlo", VALUES, decodings=perturbed(0.5, 2, 8)),
    Cell("MC ranks Base", "monte_carlo", decodings=ranked("q"), start="MC", trained=False, candidates_from="Base"),
)

ABOUT = (
    "A user asks a multiple-choice question whose answer depends on something they did not say. The assistant may ask "
    "back. The logs hold four conversations about each of 1,024 questions. The assistant of each is drawn from six: "
    "three ask what matters, one asks what does not matter, one answers at once, and one gives any answer. Base "
    "learned from 32,768 other conversations of the same assistants, of three turns whatever the horizon. Every other "
    "method goes on from Base on the logs for the same number of steps; Swift and DPO use a fifth of the others' "
    "learning rate. 'As many rows' has the best conversations about four times as many questions. The form of the "
    "answer counts for one tenth of the reward. Decodings are chosen on the kind of questions that the logs hold. No "
    "log holds the reported questions."
)


def clarifying(horizon: int, cells: tuple[Cell, ...]) -> Experiment:
    """Conversations of ``horizon`` turns."""
    options = {"horizon": horizon, "format_weight": 0.1}
    return Experiment(
        name=f"clarifying-qa-{horizon}",
        title=f"Clarifying questions, {horizon} turns",
        about=ABOUT,
        data=logs(horizon, 4_096),
        env="ClarifyingQA-v0",
        env_options={"corpus": "sorted-test", **options},
        selection_options={"corpus": "sorted", **options},
        cells=cells,
        baselines=BASELINES,
        normalise=("any answer", "asks, then answers"),
        reference="Base",
        measures=("facts", "diversity", "length", "divergence"),
        episodes=512,
        selection_episodes=256,
    )


CLARIFYING_QA = Suite(
    name="clarifying-qa",
    title="Clarifying questions",
    seeds=5,
    experiments=(
        clarifying(3, (BASE, *CORE, *OTHERS)),
        clarifying(2, (SAME_BASE, *CORE)),
        clarifying(4, (SAME_BASE, *CORE)),
        clarifying(6, (SAME_BASE, *CORE)),
    ),
)
