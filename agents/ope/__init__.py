"""Off-policy evaluation: estimates the return of a policy from episodes that another policy played.

    from agents.ope import evaluate
    found = evaluate(agent.policy(), "data/held-out", np.random.default_rng(0))
    for estimate in found.estimates:
        print(estimate.name, estimate.value, estimate.interval, *estimate.warnings)

``estimators`` has the statistics in numpy. ``fitted_q`` learns the values of a policy from episodes of another policy.
"""

from agents.ope.estimators import Estimate, estimates
from agents.ope.evaluate import Evaluation, evaluate
from agents.ope.fitted_q import FittedQ, FittedQConfig
from agents.ope.logged import ActionValues, Log

__all__ = ["ActionValues", "Estimate", "Evaluation", "FittedQ", "FittedQConfig", "Log", "estimates", "evaluate"]
