"""Dialogue response generation by a pretrained chat model of GPT-2 small's size: SmolLM2-135M, adapted by LoRA.

A step on 8 of MultiWOZ's episodes (185 tokens) takes about 5.6 seconds of a core, as ``lang-envs train`` says when it
is done. A training run of one experiment of ``DIALOGUE_SMOLLM2`` makes about 1,100 of them: two hours, and evaluation.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Samples, Suite
from agents.benchmark.suites.settings import GREEDY, LEARNED, ranked
from agents.benchmark.suites.smollm2 import BASE_FIT, FIT, GENTLE, SMOLLM2, WEIGHED, zero_shot

QUICK_FIT: dict[str, Any] = {"batch_size": 8, "lr": 1e-3, "warmup_steps": 4, "log_every": 10}

QUICK_TALK = Experiment(
    name="smollm2",
    title="SmolLM2 answers customers",
    about=(
        "SmolLM2 is a pretrained chat model with 135 M weights. It answers customers in the built-in dialogues in "
        "three ways: as it comes, with an instruction and no training; after BC on what people said in 240 of the "
        "contexts; and after Refit. Refit goes on from BC with four replies to each context, weighted by their reward. "
        "The reward is BERTScore: how near a reply comes to what a person said there. No log holds the reported "
        "contexts. There is one training run of each, which is too few for a comparison."
    ),
    data=Data("dialogue-mixture", episodes=800),
    env="Dialogue-BERTScore-v0",
    env_options={"split": "test"},
    selection_options={"split": "validation"},
    cells=(
        zero_shot(GREEDY),
        Cell("after BC", "bc", fit={**QUICK_FIT, "steps": 30}, data=Data("dialogue-human", episodes=240)),
        Cell("after Refit", "refit", {"shift_rewards": True}, {**QUICK_FIT, "steps": 20, "lr": 5e-4}, start="after BC"),
    ),
    baselines=(Baseline("any reply", "random_reply"), Baseline("human", "human")),
    normalise=("any reply", "human"),
    episodes=32,
    seeds=1,
    **SMOLLM2,
)
"""what ``make demo`` shows beside MovieReview"""

ROOM: dict[str, Any] = {"max_context_tokens": 128, "max_response_tokens": 48}
"""in this model's tokens"""

GREEDY_WEIGHED = tuple(way for way in WEIGHED if way.get("greedy"))
"""greedy, as methods without values are"""
CURVE = (100, 300, 1_000, 3_000)
"""how many contexts TF learns from"""


def methods(contexts: int, human: Data, logs: Data | Samples | None = None) -> tuple[Cell, ...]:
    """TF at each length of ``CURVE`` up to ``contexts``, and the methods that go on from the longest.

    Args:
        contexts: of the logs.
        human: the human replies alone, one to a context.
        logs: what methods other than TF learn from; None: the experiment's own logs.
    """

    def cell(label: str, agent: str, config: dict[str, Any] | None = None, **more: Any) -> Cell:
        settings: dict[str, Any] = {"fit": FIT, "decodings": GREEDY, "start": "TF", "data": logs, **more}
        return Cell(label, agent, config or {}, **settings)

    def tf(label: str, first: int) -> Cell:
        """One pass over the logs; the shortest logs are read up to four times."""
        steps = max(first // 8, min(4 * first // 8, 60))
        return Cell(label, "bc", {}, {**BASE_FIT, "steps": steps}, GREEDY, data=human, first=first, line="TF", at=first)

    values = {**LEARNED, "gamma": 1.0}
    return (
        zero_shot(GREEDY),
        *(tf(f"TF, {first}", first) for first in CURVE if first != contexts and first <= (human.episodes or first)),
        tf("TF", contexts),
        cell("TF, longer", "bc", data=human),
        cell("TF All", "bc"),
        cell("TF Top 0.6", "bc", {"keep_above": 0.6}),
        cell("DT, 4 bins", "decision_transformer", {"bins": 4}),
        cell("Refit", "refit", {"shift_rewards": True}),
        cell("Swift, tapered", "swift", {"negatives": "taper", "reference": "start"}, fit=GENTLE),
        cell("DPO", "dpo", {"pairs_per_context": 1}, fit=GENTLE),
        cell("MC", "monte_carlo", values, decodings=GREEDY_WEIGHED),
        cell("ILQL", "ilql", {**values, "tau": 0.7}, decodings=GREEDY_WEIGHED),
        Cell("MC ranks TF", "monte_carlo", decodings=ranked("q"), start="MC", trained=False, candidates_from="TF"),
        Cell("ILQL ranks TF", "ilql", decodings=ranked("q"), start="ILQL", trained=False, candidates_from="TF"),
        Cell(
            "likelihood ranks TF",
            "bc",
            decodings=ranked("likelihood_per_token"),
            start="TF",
            trained=False,
            candidates_from="TF",
        ),
    )


ABOUT = (
    "SmolLM2-135M is a pretrained chat model. It reads the conversation by its chat template, and only adapters of "
    "rank 16 are trained (you bring the files). TF learned from the human replies to 1,000 contexts, and 'TF, longer' "
    "goes on in the same way. The other TFs learned from as many contexts as their names say. The other methods go on "
    "from TF for the same number of steps; Swift and DPO use a fifth of the others' learning rate. {logs} Rankers "
    "choose among five samples of TF. All agents are greedy, except the rankers. Reported contexts belong to dialogues "
    "that no log holds. Perplexity is measured with the untrained model. BERTScore is the reward; the other measures "
    "are independent of it."
)
OF_ITS_OWN = (
    "Their logs hold the human reply and five samples of TF, to each of the first 500 contexts that TF learned from."
)
OF_OTHERS = "Their logs hold the human reply, the human reply of the nearest other context, and a random one."


def replies(name: str, title: str, corpus: str, about: str, data: Data, cells: tuple[Cell, ...]) -> Experiment:
    """A comparison on one corpus."""
    return Experiment(
        name=name,
        title=title,
        about=about,
        data=data,
        env="Dialogue-BERTScore-v0",
        env_options={"corpus": corpus, "split": "test", **ROOM},
        selection_options={"corpus": corpus, "split": "validation", **ROOM},
        cells=cells,
        baselines=(
            Baseline("any reply", "random_reply"),
            Baseline("nearest context's reply", "nearest"),
            Baseline("human", "human"),
        ),
        normalise=("any reply", "human"),
        measures=("similarity", "diversity", "length", "divergence"),
        episodes=256,
        selection_episodes=64,
        best_of=5,
        varies="contexts that TF learned from",
        **SMOLLM2,
    )


MULTIWOZ = Data("dialogue-human", episodes=3_000, options={"corpus": "multiwoz", **ROOM})
TASKMASTER: dict[str, Any] = {"corpus": "taskmaster4", **ROOM}

DIALOGUE_SMOLLM2 = Suite(
    name="dialogue-smollm2",
    title="Dialogue response generation by SmolLM2",
    seeds=3,
    experiments=(
        replies(
            "multiwoz-smollm2",
            "SmolLM2 replies to a tourist, MultiWOZ",
            "multiwoz",
            ABOUT.format(logs=OF_ITS_OWN),
            MULTIWOZ,
            methods(1_000, MULTIWOZ, Samples("TF", episodes=3_000, drawn=5)),
        ),
        replies(
            "taskmaster-smollm2",
            "SmolLM2 replies to a customer, Taskmaster 4",
            "taskmaster4",
            ABOUT.format(logs=OF_OTHERS),
            Data("dialogue-mixture", episodes=3_000, options=TASKMASTER),
            methods(1_000, Data("dialogue-human", episodes=2_970, options=TASKMASTER)),
        ),
    ),
)
