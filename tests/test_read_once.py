"""A corpus is read only once, and is read again after its files have changed."""

import os
import time

import pytest

from lang_envs.corpora.dialogues import by_name
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.read_once import read_once


@pytest.fixture
def reading():
    """A reader of the texts of a file or folder, and the paths that it was asked to read."""
    read = []

    @read_once(2)
    def texts(path):
        read.append(path)
        return tuple(file.read_text() for file in sorted(path.rglob("*") if path.is_dir() else [path]))

    return texts, read


def written(path, text, age=10):
    """A file that was last written so many seconds ago."""
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("whole", [False, True], ids=["file", "folder"])
def test_what_has_not_changed_is_read_once(tmp_path, reading, whole):
    texts, read = reading
    file = written(tmp_path / "a", "one")
    asked = tmp_path if whole else file
    assert [texts(asked) for _ in range(3)] == [("one",)] * 3 and len(read) == 1
    written(file, "two", age=5)
    assert [texts(asked) for _ in range(2)] == [("two",)] * 2 and len(read) == 2
    written(file, "three", age=5)  # of another size, and the same date or nearly
    assert texts(asked) == ("three",)


def test_a_file_beside_another_belongs_to_it(tmp_path, reading):
    texts, read = reading
    file = written(tmp_path / "data.json", "one")
    texts(file)
    written(tmp_path / "testListFile.json", "D1", age=5)
    texts(file)
    assert len(read) == 2


def test_what_was_written_a_moment_ago_is_read_again(tmp_path, reading):
    texts, read = reading
    file = written(tmp_path / "a", "one", age=0)
    assert [texts(file), texts(file)] == [("one",)] * 2 and len(read) == 2


def test_links_to_one_folder_share_what_was_read(tmp_path, reading):
    texts, read = reading
    (tmp_path / "there").mkdir()
    written(tmp_path / "there" / "a", "one")
    for name in ("b", "c"):
        (tmp_path / name).symlink_to(tmp_path / "there")
        assert texts(tmp_path / name) == ("one",)
    assert len(read) == 1


def test_two_are_kept_and_faults_are_not(tmp_path, reading):
    texts, read = reading
    for name in "abcab":
        (tmp_path / name).mkdir(exist_ok=True)
        texts(written(tmp_path / name / "x", name))
    assert len(read) == 5
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            texts(tmp_path / "nowhere")
    assert len(read) == 7


def test_a_corpus_that_changed_is_read_anew(tmp_path):
    line = '{"id": "%s", "turns": [{"speaker": "agent", "text": "%s"}], "split": "train"}'
    file = written(tmp_path / "my.jsonl", line % ("a", "one"))
    assert [example.response for example in by_name.load(file, "train")] == ["one"]
    assert by_name.load(file, "train")[0].turns is by_name.load(file, "train")[0].turns
    written(file, line % ("a", "two"), age=5)
    assert [example.response for example in by_name.load(file, "train")] == ["two"]
    written(file, "{", age=3)
    with pytest.raises(CorpusError, match=r"my\.jsonl, line 1"):
        by_name.load(file, "train")
