"""A corpus of MultiWOZ's size is read in seconds, one record at a time."""

import json
import sys
import time
import tracemalloc

import pytest

from lang_envs.corpora.dialogues import multiwoz, service

DOMAINS = ("taxi", "police", "restaurant", "hotel", "attraction", "train", "hospital")
STATE = json.dumps({domain: {"book": {"booked": []}, "semi": dict.fromkeys("abcdefghij", "")} for domain in DOMAINS})


def write(path, num_dialogues):
    """A file in MultiWOZ 2.1's layout, with belief states as bulky as there."""
    made = service.conversations(1_000)
    with path.open("w") as file:
        file.write("{")
        for i in range(num_dialogues):
            log = (f'{{"text": {json.dumps(text)}, "metadata": {STATE}}}' for _, text in made[i % 1_000].dialogue.turns)
            file.write(f'{"," * (i > 0)}"D{i}": {{"goal": {{}}, "log": [{", ".join(log)}]}}')
        file.write("}")
    return path


@pytest.mark.slow
def test_ten_thousand_dialogues_in_seconds(tmp_path):
    whole, tenth = write(tmp_path / "data.json", 10_430), write(tmp_path / "tenth.json", 1_043)
    started = time.perf_counter()
    dialogues = list(multiwoz.read(whole))
    taken = time.perf_counter() - started
    started = time.perf_counter()
    with tenth.open() as file:
        json.load(file)
    parsed = 10 * (time.perf_counter() - started)
    size = whole.stat().st_size / 1e6
    sys.stdout.write(
        f"\n10,430 dialogues ({size:.0f} MB) read in {taken:.1f} s; json alone would take {parsed:.1f} s\n"
    )
    assert len(dialogues) == 10_430
    assert taken < 3 * parsed


def test_only_the_record_at_hand_is_in_memory(tmp_path):
    path = write(tmp_path / "data.json", 1_000)
    tracemalloc.start()
    count = sum(1 for _ in multiwoz.read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1_000
    assert peak < path.stat().st_size / 2
