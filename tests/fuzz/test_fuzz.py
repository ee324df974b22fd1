"""Some damaged inputs of every kind, the same ones each time; ``make fuzz`` tries thousands of others."""

import hypothesis
import pytest
from kinds import KINDS
from outcome import BAD
from tally import settings, shown, worker_of

EXAMPLES = 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_damage_is_noticed_or_harmless(kind):
    with worker_of(kind) as worker:

        def attempt(damage):
            outcome = worker.attempt(damage)
            assert outcome.kind not in BAD, f"{outcome.kind}: {outcome.why}\n{outcome.place}\n{shown(damage)}"

        for damage in kind.always(worker.world):
            attempt(damage)
        settings(EXAMPLES, derandomize=True)(hypothesis.given(kind.damages(worker.world))(attempt))()
