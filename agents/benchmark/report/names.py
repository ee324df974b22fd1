"""The names of metrics for readers: in tables, and above the panels of pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping

OF_REFERENCES = {"optimal": "optimum", "behaviour": "log's play", "played": "imitation"}
"""names of the references of ``agents.evaluation.advantage``, short enough for the title of a panel"""
OF_EPISODES = {
    "return": "return",
    "return_error": "standard error of the return",
    "success": "success",
    "truncated": "share cut short",
    "actions": "tokens said",
    "episodes": "episodes",
    "distinct": "distinct episodes",
    "imitation": "imitation alone",
}
OF_WHAT_IS_SAID = {
    "bertscore": "BERTScore",
    "bertclick": "BERTClick",
    "bleu": "BLEU",
    "chrf": "chrF",
    "meteor": "METEOR",
    "approval": "approval by the judge",
    "approval_auc": "AUC of the judge",
    "inform": "inform",
    "combined": "combined score",
    "distinct_1": "distinct-1, words",
    "distinct_2": "distinct-2, word pairs",
    "self_bleu": "self-BLEU",
    "different": "different utterances",
    "left_out": "share of episodes left out",
    "length": "tokens a turn",
    "turns": "turns",
    "perplexity": "perplexity under the reference",
    "kl": "KL to the reference",
}
OF_LOGS_ALONE = {
    "weighted": "off-policy return, weighted",
    "doubly_robust": "off-policy return, doubly robust",
    "fitted_q": "off-policy return, fitted Q",
    "effective": "effective logged episodes",
}
OF_TASKS = {
    "annoyed": "customers annoyed",
    "answered": "answered",
    "asked": "questions asked",
    "correct": "correct",
    "format_ok": "well-formed",
    "grammatical": "grammatical",
    "joint_goal": "joint goal",
    "met": "needs met",
    "penalised": "questions penalised",
    "percentile": "percentile of the image",
    "valid": "valid",
}
OF_VALUES = {
    "values/start": "V at the start",
    "values/optimal_start": "V at the start, optimum",
    "values/behaviour_start": "V at the start, behaviour",
    "values/optimal_error": "distance of Q to the optimum (RMS)",
    "values/behaviour_error": "distance of Q to the behaviour (RMS)",
    "rank/start": "V at the start",
    "rank/better": "Q of an expert's first word",
    "rank/worse": "Q of a suboptimal first word",
}
OF_TRAINING = {
    "step": "training step",
    "loss": "loss",
    "loss/actor": "loss of the actor",
    "loss/bc": "loss of imitation",
    "loss/cql": "loss of CQL",
    "loss/dpo": "loss of DPO",
    "loss/grpo": "loss of GRPO",
    "loss/kl": "loss of the divergence",
    "loss/kto": "loss of KTO",
    "loss/policy": "loss of the policy",
    "loss/q": "loss of Q",
    "loss/q_sft": "loss of Q-SFT",
    "loss/refit": "loss of Refit",
    "loss/swift": "loss of Swift",
    "loss/v": "loss of V",
    "loss/value": "loss of the value",
    "data/return": "return of the episodes in the batch",
    "optim/lr": "learning rate",
    "optim/grad_norm": "norm of the gradient",
    "time/steps_per_second": "steps a second",
    "value/q": "mean Q",
    "value/v": "mean V",
    "value/target": "mean target of Q",
    "value/explained_variance": "variance explained by the value",
    "policy/accuracy": "share ordered as the returns",
    "policy/agreed": "tokens on their side of the baseline",
    "policy/best": "share of tokens in the best bin",
    "policy/better_logp": "log-probability, better of a pair",
    "policy/worse_logp": "log-probability, worse of a pair",
    "policy/margin": "margin of a pair",
    "policy/ties": "share in pairs that tie",
    "policy/clip_fraction": "share of ratios clipped",
    "policy/clipped": "share of weights clipped",
    "policy/desirable": "share of desirable tokens",
    "policy/desirable_logp": "log-probability, desirable",
    "policy/undesirable_logp": "log-probability, undesirable",
    "policy/dummy": "probability of the dummy",
    "policy/entropy": "entropy",
    "policy/kl": "KL to the reference policy",
    "policy/kl_coef": "weight of the KL",
    "policy/malformed": "share of tokens without an end",
    "policy/negative_logp": "log-probability, weighed down",
    "policy/negatives": "share of tokens weighed down",
    "policy/ratio": "mean probability ratio",
    "policy/recorded": "share of tokens with a known probability",
    "policy/start_kl": "KL to the policy at the start",
    "policy/unweighted": "share of tokens without weight",
    "policy/update_kl": "KL of the update",
    "policy/weight": "mean weight",
    "policy/z0": "baseline z0 of KTO",
}
NAMES: Mapping[str, str] = OF_EPISODES | OF_WHAT_IS_SAID | OF_LOGS_ALONE | OF_TASKS | OF_VALUES | OF_TRAINING
"""metric -> its name; ``name_of`` makes the names of families of metrics"""

_RANK = re.compile(r"rank/(target|online)/(\d+)")
_ADVANTAGE = re.compile(rf"advantage/({'|'.join(OF_REFERENCES)})/(ceiling/)?(\d+|end)")
_BEST_OF = re.compile(r"best_of/(\d+)")
_PROTOCOL = re.compile(r"(greedy|sampled)/(\w+)")
_ELSEWHERE = re.compile(r"(\w+)/(.+)")


def name_of(metric: str) -> str:
    """A metric's name for readers; for a metric without one, such as a plugin's, the words of the metric itself."""
    return _known(metric) or metric.replace("_", " ").replace("/", ", ")


def has_name(metric: str) -> bool:
    """Whether this module has a name for the metric or for its family."""
    return _known(metric) is not None


def _known(metric: str) -> str | None:
    metric = metric.removeprefix("eval/")
    if metric in NAMES:
        return NAMES[metric]
    if match := _RANK.fullmatch(metric):
        return f"rank test, {match[1]} Q, offset {match[2]}"
    if match := _ADVANTAGE.fullmatch(metric):
        token = "last token" if match[3] == "end" else f"token {int(match[3]) + 1}"
        return f"advantage quality: {OF_REFERENCES[match[1]]}, {token}{', attainable' if match[2] else ''}"
    if match := _BEST_OF.fullmatch(metric):
        return f"return, best of {match[1]}"
    if (match := _PROTOCOL.fullmatch(metric)) and match[2] in OF_EPISODES:
        kind = OF_EPISODES[match[2]]
        return f"{match[1]}, {kind}" if match[2] == "imitation" else f"{match[1]} {kind}"
    if (match := _ELSEWHERE.fullmatch(metric)) and match[1] in OF_EPISODES | OF_WHAT_IS_SAID | OF_TASKS:
        return f"{NAMES[match[1]]}, {match[2].replace('_', ' ')}"
    return None
