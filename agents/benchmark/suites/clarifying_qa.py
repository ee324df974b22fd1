"""Asking before answering: the comparison of Mukherjee et al. 2025 (arXiv:2506.06964), with the controls it lacked."""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.suites.settings import ranked, weights

BASE_FIT: dict[str, Any] = {"steps": 1500, "batch_size": 32, "lr": 2e-3, "warmup_steps": 100, "final_lr": 0.1}
FIT: dict[str, Any] = {"steps": 300, "batch_size": 32, "lr": 5e-4, "warmup_steps": 20}
GENTLE: dict[str, Any] = {**FIT, "lr": 1e-4}
VALUES = {"gamma": 1.0, "cql_weight": 0.001, "bc_weight": 1.0, "target_rate": 0.05, "num_q": 1, "zero_init": True}

BASELINES = (
    Baseline("random tokens", "random_tokens"),
    Baseline("any answer", "random_answer"),
    Baseline("answers at once", "answer_at_once"),
    Baseline("asks, then answers", "ask_then_answer"),
)

CORE = (
    Cell("Base", "bc", fit=BASE_FIT),
    Cell("SFT, all", "bc", fit=FIT, start="Base"),
    Cell("SFT, top 1", "bc", {"keep_best": 1}, FIT, start="Base"),
    Cell("Refit", "refit", fit=FIT, start="Base"),
    Cell("Swift", "swift", {"reference": "start"}, GENTLE, start="Base"),
)


def methods(rows: Data) -> tuple[Cell, ...]:
    """Every method; ``rows`` has as many best conversations as the other logs have conversations."""
    return (
        *CORE,
        Cell("SFT, top 1, as many rows", "bc", {"keep_best": 1}, FIT, start="Base", data=rows),
        Cell("Refit, r - min", "refit", {"shift_rewards": True}, FIT, start="Base"),
        Cell("exponential weights", "refit", {"temperature": 0.25}, FIT, start="Base"),
        Cell("Swift, clipped", "swift", {"negatives": "clip", "reference": "start"}, GENTLE, start="Base"),
        Cell("Swift, tapered", "swift", {"negatives": "taper", "reference": "start"}, GENTLE, start="Base"),
        Cell("DPO", "dpo", {"pairs_per_context": 1}, GENTLE, start="Base"),
        Cell("DPO, per turn", "dpo", {"per": "turn", "pairs_per_context": 1}, GENTLE, start="Base"),
        Cell("MC", "monte_carlo", VALUES, FIT, weights(0, 1, 4, 16), start="Base"),
        Cell("MC ranks Base", "monte_carlo", decodings=ranked("q"), start="MC", trained=False, candidates_from="Base"),
    )


ABOUT = (
    "A multiple-choice question that hangs on something its asker did not say; the assistant may ask back. The logs "
    "hold four conversations about each question, each by an assistant drawn among four: one asks what matters, one "
    "asks what does not, one answers at once, one answers anything. Base learned from all of them; every other method "
    "goes on from it for as many steps, Swift and DPO at a fifth of the others' learning rate. 'As many rows' has the "
    "best conversations of four times as many questions. The reward counts form for one tenth; success is the share of "
    "right answers. Decodings are chosen on questions of the logs' own pool; the reported ones are in no log."
)


def clarifying(horizon: int, cells: tuple[Cell, ...], **settings: Any) -> Experiment:
    """Conversations of ``horizon`` turns."""
    options = {"horizon": horizon, "format_weight": 0.1}
    return Experiment(
        name=f"clarifying-qa-{horizon}",
        title=f"Clarifying questions, {horizon} turns",
        about=ABOUT,
        data=logs(horizon, 4_096),
        env="ClarifyingQA-v0",
        env_options={"corpus": "ambiguous-test", **options},
        selection_options=options,
        cells=cells,
        baselines=BASELINES,
        normalise=("any answer", "asks, then answers"),
        reference="Base",
        measures=("facts", "diversity", "length", "divergence"),
        episodes=512,
        selection_episodes=256,
        lm="d128-l2",
        **settings,
    )


def logs(horizon: int, episodes: int) -> Data:
    """Four conversations about each question."""
    return Data("clarifying-qa", episodes=episodes, options={"horizon": horizon, "format_weight": 0.1})


CLARIFYING_QA = Suite(
    name="clarifying-qa",
    title="Clarifying questions",
    seeds=5,
    experiments=(
        clarifying(3, methods(logs(3, 16_384))),
        clarifying(2, CORE),
        clarifying(4, CORE),
        clarifying(6, CORE),
    ),
)
