"""Progress messages without a terminal."""

import io
import sys
from contextlib import redirect_stderr

from lang_envs import progress
from lang_envs.progress import Lines, counted, part_of, progress_bar


class Clock:
    """Time that passes when it is told to; as ``wait`` it lets half a minute pass and has ``work`` done in it."""

    def __init__(self, work):
        self.now, self.asked, self.work = 100.0, [], iter(work)

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.asked.append(seconds)
        self.now += seconds
        return next(self.work, "over") == "over"


def run(*done, total=1000, start=0):
    """The lines, where so many are done after each half minute."""

    def work():
        for number in done:
            lines.show(*number) if isinstance(number, tuple) else lines.show(number)
            yield "working"

    clock = Clock(work())
    lines = Lines("recording d", total, start, clock)
    lines.run(clock.wait)
    assert set(clock.asked) == {30.0}


def test_a_line_every_half_minute_with_the_time_that_is_left(capsys):
    run(250, 500)
    assert capsys.readouterr().err.splitlines() == [
        "recording d: 250 of 1,000 (25 %), 0:30, about 1:30 left",
        "recording d: 500 of 1,000 (50 %), 1:00, about 1:00 left",
    ]


def test_what_is_done_in_half_a_minute_says_nothing(capsys):
    run()
    assert capsys.readouterr().err == ""


def test_a_slow_step_is_still_told_of(capsys):
    run(0, 0, 1, 1, total=4)
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "0 of 4 (0 %), 0:30",
        "0 of 4 (0 %), 1:00",
        "1 of 4 (25 %), 1:30, about 4:30 left",
        "1 of 4 (25 %), 2:00, about 6:00 left",
    ]


def test_what_was_done_before_says_nothing_of_the_speed(capsys):
    run((900, "loss 0.5"), 910, start=890)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "recording d: 900 of 1,000 (90 %), 0:30, about 5:00 left, loss 0.5"
    assert second == "recording d: 910 of 1,000 (91 %), 1:00, about 4:30 left, loss 0.5"


def test_where_nobody_knows_how_many_there_are_it_counts(capsys):
    run((250, "of a hub"), total=None)
    assert capsys.readouterr().err == "recording d: 250, 0:30, of a hub\n"
    run(0, total=None)
    assert capsys.readouterr().err == "recording d: 0:30\n"


def test_a_bar_appears_while_the_first_step_takes_long(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with progress_bar("training", 8):
        said = ""
        while "0/8" not in said:
            said += capsys.readouterr().err


def test_hours(capsys):
    run(*[0] * 239, 1, total=3)
    assert capsys.readouterr().err.splitlines()[-1].endswith("(33 %), 2:00:00, about 4:00:00 left")


def test_a_thread_prints_while_a_step_takes_long(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.02)
    with part_of("trap/BC/0"), progress_bar("training", 8) as show:
        show(2)
        said = ""
        while said.count("\n") < 2:
            said += capsys.readouterr().err
    assert said.startswith("trap/BC/0, training: 2 of 8 (25 %)")


def test_nothing_where_it_is_not_wanted(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress_bar("training", 8, wanted=False) as show:
        show(2, "loss 1")
    assert capsys.readouterr().err == ""


def test_parts_show_no_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with part_of("trap/BC/0"):
        assert list(counted("playing", 3, iter("abc"))) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
    assert list(counted("playing", 3, iter("abc"))) == ["a", "b", "c"]
    assert "3/3" in capsys.readouterr().err


def test_lines_go_where_they_went_when_it_began(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.02)
    with part_of("converting x"), progress_bar("weights", None), redirect_stderr(io.StringIO()) as theirs:
        while "\n" not in (said := capsys.readouterr().err):
            pass
    assert said.startswith("converting x, weights: 0:00\n") and theirs.getvalue() == ""
