"""No name that is read from a file leads out of its folder, and only files that this package made are removed."""

import dataclasses
import json

import pytest
from test_runner import suite

from agents import cli
from agents.benchmark import Baseline, Cell, Data, Suite, run
from agents.benchmark.experiment import folder_name
from agents.benchmark.running.unit_folder import prepare
from agents.benchmark.running.units import units
from datasets_builders import DatasetError, EpisodeDataset, build
from datasets_builders.atomic import write_text
from lang_envs.corpora.dialogues.by_name import load
from lang_envs.file_names import component, folded

BAD = [
    "",
    " ",
    ".",
    "..",
    "...",
    "../../../../precious",
    "/etc",
    "a/b",
    "a\\b",
    "C:x",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "a\u202eb",
    "\ud800",
    "~",
    "-rf",
    " a",
    "a ",
    "a.",
    "CON",
    "nul.txt",
    "com1 .x",
    "x" * 201,
    "é" * 101,
    5,
    None,
]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_what_cannot_be_one_part_of_a_path_is_refused(name):
    with pytest.raises(ValueError, match=r"the label: .* becomes the name of a file, and "):
        component(name, "the label")


@pytest.mark.parametrize("name", ["%BC, 20%", "ILQL, τ 0.7", "TF Top 0.6", "nearest context's reply", ".x", "console"])
def test_ordinary_names_stay_as_they_are(name):
    assert component(name) == name


def test_folders_of_ordinary_labels():
    labels = ("%BC", "TF Top 0.6", "ILQL, returns first", "ILQL, τ 0.7")
    assert [folder_name(label) for label in labels] == [
        "percent-bc",
        "tf-top-0.6",
        "ilql,-returns-first",
        "ilql,-τ-0.7",
    ]


def test_names_that_some_file_system_takes_for_one():
    assert folded("STRASSE") == folded("straße") and folded("\u00e9") == folded("E\u0301")
    assert folded("a") != folded("b")


def changed(place, value):
    plain = suite().plain()
    [experiment] = plain["experiments"]
    if place == "name":
        experiment["name"] = value
    elif place == "recipe":
        experiment["data"]["recipe"] = value
    else:
        experiment[place][1]["label"] = value
    return plain


@pytest.mark.parametrize("place", ["name", "cells", "baselines", "recipe"])
@pytest.mark.parametrize("name", ["../../../../precious", "/precious", "..", "", 5, "%" * 40, "a\\..\\b"], ids=repr)
def test_a_suite_with_such_a_name_is_refused_when_it_is_read(place, name, tmp_path, capsys):
    if name == "%" * 40 and place != "cells":
        return  # a file may be called so; only a label is spelled out
    if name == "" and place == "recipe":
        return  # data without a recipe are refused for that
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (tmp_path / "config.json").write_text(json.dumps(changed(place, name)))
    code = cli.main(["bench", "--from", str(tmp_path / "config.json"), "--out", str(tmp_path / "out")])
    assert code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert ("becomes the name of a file" if isinstance(name, str) else "must be of the type str") in told
    assert "experiment" in told
    assert place not in ("cells", "baselines") or place[:-1] in told
    assert {path.name for path in tmp_path.iterdir()} == {"precious", "config.json"}
    assert (precious / "file").read_text() == "mine"


def test_pieces_that_would_lie_in_one_another_are_refused(tmp_path):
    inside = suite(cells=(Cell("yardsticks", "bc", fit={"steps": 1}),), rank_test=True)
    with pytest.raises(ValueError, match="would lie in the folder of 'tiny/yardsticks'"):
        units(inside, tmp_path)
    twice = suite(cells=(Cell("É", "bc", fit={"steps": 1}), Cell("E\u0301", "bc", fit={"steps": 1})))
    with pytest.raises(ValueError, match="label them apart"):
        units(twice, tmp_path)
    [one] = suite().experiments
    with pytest.raises(ValueError, match="two experiments that are called"):
        Suite("two", "Two", (one, dataclasses.replace(one, name="TINY")))


def test_a_folder_that_no_benchmark_made_is_left_as_it_is(tmp_path):
    theirs = tmp_path / "cells/tiny/baselines/random"
    theirs.mkdir(parents=True)
    (theirs / "precious").write_text("mine")
    write_text(tmp_path / "config.json", json.dumps({"name": "tiny"}))
    one = dataclasses.replace(suite(cells=(), exact_values=False), seeds=1)
    with pytest.raises(ValueError, match=r"tiny/baselines/random: .*random has content but no training\.json"):
        run(one, tmp_path, say=lambda line: None)
    assert [path.name for path in theirs.iterdir()] == ["precious"]


def test_a_folder_is_emptied_for_other_settings_and_links_in_it_are_not_followed(tmp_path):
    folder, precious = tmp_path / "unit", tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    prepare(folder, {"steps": 1})
    (folder / "fit").mkdir()
    (folder / "fit/log").write_text("old")
    (folder / "agent").symlink_to(precious)
    prepare(folder, {"steps": 1})
    assert (folder / "fit/log").exists()
    prepare(folder, {"steps": 2})
    assert [path.name for path in folder.iterdir()] == ["training.json"]
    assert json.loads((folder / "training.json").read_text()) == {"steps": 2}
    assert (precious / "file").read_text() == "mine"


@pytest.mark.parametrize("link", ["cells", "data", "cells/tiny/bc/0/fit"])
def test_results_that_lie_elsewhere_are_refused(link, tmp_path):
    home, out = tmp_path / "home", tmp_path / "out"
    for folder in (home, (out / link).parent):
        folder.mkdir(parents=True)
    write_text(out / "config.json", json.dumps({"name": "tiny"}))
    (out / link).symlink_to(home)
    with pytest.raises(ValueError, match=r"is a link to .*home, outside of"):
        run(suite(), out, say=lambda line: None)
    assert not list(home.iterdir())


def test_a_recording_takes_no_folder_that_something_else_made(tmp_path):
    partial = tmp_path / "d.partial"
    partial.mkdir()
    (partial / "notes.tmp").write_text("mine")
    with pytest.raises(FileExistsError, match="was made by something else"):
        build("movie-review", 4, tmp_path / "d", progress=False)
    assert (partial / "notes.tmp").read_text() == "mine"


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "table.md.tmp").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "table.md", "new")
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "table.md").read_text() == "new"


def test_the_files_of_a_data_set_lie_in_its_folder(tmp_path):
    build("movie-review", 4, tmp_path / "d", progress=False)
    [file] = (tmp_path / "d").glob("*.arrow")
    file.rename(tmp_path / file.name)
    state = json.loads((tmp_path / "d/state.json").read_text())
    state["_data_files"] = [{"filename": f"../{file.name}"}]
    (tmp_path / "d/state.json").write_text(json.dumps(state))
    (tmp_path / "d/checksums.json").unlink()
    with (
        pytest.warns(UserWarning, match=r"no checksums\.json"),
        pytest.raises(DatasetError, match="separates the parts of a path"),
    ):
        EpisodeDataset.load(tmp_path / "d")


@pytest.mark.parametrize("name", ["multiwoz/../../secret", "taskmaster/..", "abcd\0"])
def test_a_corpus_lies_in_the_folder_of_corpora(name, tmp_path, monkeypatch):
    (tmp_path / "dialogue").mkdir()
    monkeypatch.setenv("LANG_ENVS_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="the name of a corpus"):
        load(name, "train")


def test_baselines_and_recipes_that_are_spelled_otherwise_keep_their_folders(tmp_path):
    made = suite(baselines=(Baseline("random letters", "random"),), data=Data("movie-review", 40), normalise=None)
    folders = {unit.folder.relative_to(tmp_path).as_posix() for unit in units(made, tmp_path)}
    assert "cells/tiny/baselines/random-letters" in folders
