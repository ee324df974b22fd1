"""The text of ``--help``: its examples can be typed, and every option is described."""

import dataclasses
import re
import shlex
import sys

import pytest

from agents import cli
from agents.cli import arguments, distil, train

FORMS = {
    **cli.COMMANDS,
    "record samples": cli.RecordSamples,
    "train": train.TrainOptions,
    "distil": distil.DistilOptions,
}
TEXTS = {name: form.__doc__ for name, form in FORMS.items()} | {"train": train.HELP, "distil": distil.HELP}
OURS = """
from dataclasses import dataclass
from agents.bc import BC
class MyAgent(BC): pass
"""


def examples(text):
    """The commands under "Examples:", each on one line."""
    lines = text.replace("\\\n", " ").partition("Examples:\n")[2].splitlines()
    return [" ".join(line.split()) if "printf" not in line else line.strip() for line in lines if line.strip()]


def parsed(command):
    """The command line, read by its own parser and not run; None for another program's."""
    words = shlex.split(command.rpartition(" | ")[2])
    if "lang-envs" not in words:
        return None
    _, name, *rest = words[words.index("lang-envs") :]
    try:
        return cli._parse(name, arguments.import_named(rest))
    except SystemExit:
        pytest.fail(f"cannot be typed: {command}")


@pytest.mark.parametrize("name", TEXTS)
def test_every_example_of_help_can_be_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package.py").write_text(OURS)
    (tmp_path / "runs/ilql").mkdir(parents=True)
    config = '{"agent": "ilql", "config": {}, "fit": {}, "steps": 1}'
    (tmp_path / "runs/ilql/config.json").write_text(config)
    found = [parsed(example) for example in examples(TEXTS[name])]
    sys.modules.pop("my_package", None)
    assert sum(one is not None for one in found) >= 1 and len(found) <= 5


@pytest.mark.parametrize("name", FORMS)
def test_every_option_says_what_it_means_and_what_happens_without_it(name):
    docs = arguments.field_docs(FORMS[name])
    for field in dataclasses.fields(FORMS[name]):
        told = docs.get(field.name, "")
        assert told, f"{name}: --{field.name} says nothing"
        if field.default is None:
            assert re.search(r"by default|also|instead of|short form|with", told, re.I), f"{name}: --{field.name}"


def call(capsys, *words):
    with pytest.raises(SystemExit):
        cli.main([*words])
    return capsys.readouterr()


def test_help_has_no_riddles_and_no_line_wider_than_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in (["ope"], ["play"], ["import"], ["train", "ilql"], ["record", "samples"], ["distil"]):
        out = call(capsys, *words, "--help").out
        told = out.partition("Examples:")[0]
        assert max(map(len, told.splitlines())) <= 80
        for riddle in ("{None}", "(default: )", "(default: False)", "[STR", "``"):
            assert riddle not in out, (words, riddle)
    assert "--lr FLOAT" in out and "(default: 0.0003)" in out
    assert "as a multiple of --lr;" in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eval", "runs/x", "--episodes", "many"], "a whole number was expected, not 'many'"),
        (["serve", "runs/x", "--port", "1.5"], "a whole number was expected, not '1.5'"),
        (["ope", "runs/x", "--gamma", "high"], "a number was expected, not 'high'"),
    ],
)
def test_a_value_of_another_type_is_told_in_words(words, expected, capsys):
    seen = call(capsys, *words)
    assert expected in " ".join((seen.out + seen.err).replace("│", " ").split())


def test_options_are_read_as_what_they_are():
    asked = cli._parse("eval", ["runs/x", "--episodes", "7", "--set", "greedy=true", "a=1"])
    assert (asked.episodes, asked.env, asked.options) == (7, None, ("greedy=true", "a=1"))
    assert isinstance(asked, cli.Eval) and cli._parse("eval", ["runs/x", "--episodes", "None"]).episodes is None
    assert cli._parse("bench", ["quick", "--out", "x", "--smoke"]).smoke is True
    assert cli._parse("record", ["samples", "--out", "x", "--no-human"]).human is False
    assert cli._parse("ope", ["runs/x", "--returns", "-1", "2.5"]).returns == (-1.0, 2.5)
