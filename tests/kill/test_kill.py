"""A few kills of the faster jobs; ``make kill`` makes hundreds of kills of all jobs."""

import pytest
from jobs import jobs
from killing import killed


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return jobs(tmp_path_factory.mktemp("kill"))


@pytest.mark.parametrize("kind", ["record", "train", "save an agent", "save a data set", "import"])
def test_what_was_killed_goes_on_to_the_same(kind, kinds, tmp_path):
    tally = killed(kinds[kind][-1], 2, tmp_path, seed=0)
    assert not tally, tally
    assert tally.kills >= 2 and tally.equal
