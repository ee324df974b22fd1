"""Readers of Reddit comments: every layout, and the rows of messy files that are left out."""

import gzip
import json
import zipfile

import numpy as np
import pytest

from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.reddit.comment import Comment
from lang_envs.corpora.reddit.generated import TONES, generate, subject_of, write
from lang_envs.corpora.reddit.read import read_comments
from lang_envs.corpora.reddit.topics import TOPICS

KAGGLE = (
    "id,parent_id,subreddit_id,link_id,text,score,ups,author,controversiality,parent_link_id,parent_text,parent_score,"
    "parent_ups,parent_author,parent_controversiality\n"
)


def kaggle(comment_id, text, score, parent="a parent"):
    text, parent = (field.replace('"', '""') for field in (text, parent))
    return f'{comment_id},t1_p,t5_s,t3_l,"{text}",{score},{score},someone,0,t3_l,"{parent}",3,3,other,0\n'


def written(folder, name, text):
    path = folder / name
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


def test_kaggle_comments_with_quotes_and_line_breaks(tmp_path):
    rows = kaggle("a", 'she said "no",\nthen left', 12) + kaggle("b", "down &amp;gt; up", "-3.0", "why?\r\n\r\nreally")
    found = read_comments(written(tmp_path, "comments_positive.csv.gz", KAGGLE + rows))
    assert found.skipped == {}
    assert found.rows == (
        Comment("a", "a parent", 'she said "no",\nthen left', 12),
        Comment("b", "why?\r\n\r\nreally", "down > up", -3),
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (kaggle("x", "[deleted]", 1), "deleted"),
        (kaggle("x", "[removed]", 1), "deleted"),
        (kaggle("x", "fine", 1, "[deleted]"), "parent deleted"),
        (kaggle("x", "  ", 1), "empty"),
        (kaggle("x", "fine", ""), "score is not a number"),
        (kaggle("x", "fine", "many"), "score is not a number"),
        (kaggle("x", "fine", "nan"), "score is not a number"),
        (kaggle("x", "fine", "inf"), "score is not a number"),
        (kaggle("x", "fine", "1.5"), "score is not a number"),
        (kaggle("x", "a\0b", 1), "NUL bytes"),
        (kaggle("good", "again", 1), "duplicate id"),
        ("x,too,short\n", "wrong number of fields"),
        (kaggle("x", "fine", 1).replace("\n", ",one more\n"), "wrong number of fields"),
        ('x,t1_p,t5_s,t3_l,"never closed ' + "blah " * 30_000 + "\n", "quotes do not match"),
    ],
    ids=range(14),
)
def test_messy_records_are_counted_and_the_others_read(tmp_path, row, reason):
    text = KAGGLE + kaggle("good", "one", 1) + row + "\n" + kaggle("after", "two", 2)
    found = read_comments(written(tmp_path, "messy.csv", text))
    assert [comment.id for comment in found.rows] == ["good", "after"]
    assert found.skipped == {reason: 1}


def test_the_name_of_a_special_token_is_text(tmp_path):
    found = read_comments(written(tmp_path, "a.csv", KAGGLE + kaggle("x", "hello <|end|>", 1, "<|user|> who?")))
    assert [(comment.text, comment.parent) for comment in found.rows] == [("hello <|end|>", "<|user|> who?")]


def test_a_quote_left_open_at_the_end_loses_one_record(tmp_path):
    text = KAGGLE + kaggle("good", "one", 1) + 'x,t1_p,t5_s,t3_l,"never closed\n'
    found = read_comments(written(tmp_path, "cut.csv", text))
    assert len(found) == 1
    assert found.skipped == {"wrong number of fields": 1}


def test_both_halves_are_one_corpus(tmp_path):
    up = written(tmp_path, "comments_positive.csv", KAGGLE + kaggle("a", "yes", 9) + kaggle("b", "oh", 4))
    down = written(tmp_path, "comments_negative.csv", KAGGLE + kaggle("b", "oh", 4) + kaggle("c", "no", -9))
    found = read_comments([up, down])
    assert [comment.score for comment in found.rows] == [9, 4, -9]
    assert found.skipped == {"duplicate id": 1}
    assert [comment.score for comment in read_comments([up, down], limit=1).rows] == [9, 4]  # of each file


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    quoted = '"id","text","parent_text","score"\r\n"a","yes","why?","3"\r\n'
    found = read_comments(written(tmp_path, "saved_by_excel.csv", "\ufeff" + quoted))
    assert found.rows == (Comment("a", "why?", "yes", 3),) and found.skipped == {}
    assert read_comments(written(tmp_path, "blank_first.csv", "\r\n" + quoted)).rows == found.rows


def test_kaggle_month(tmp_path):
    text = (
        "\ufeff,subreddit,body,controversiality,score\n0,gifs,nice one,0,5\n1,gifs,nice one,0,-1\n2,aww,[removed],0,1\n"
    )
    found = read_comments(written(tmp_path, "kaggle_RC_2019-05.csv", text))
    assert [(c.parent, c.text, c.score, c.subreddit) for c in found.rows] == [
        ("", "nice one", 5, "gifs"),
        ("", "nice one", -1, "gifs"),
    ]
    assert found.skipped == {"deleted": 1}


def test_labelled_replies(tmp_path):
    text = 'id,text,parent,label,api\n1,"you, clown",hi,1,0.9\n2,thanks,hi,0,0.1\n3,hm,hi,unsure,0.5\n'
    found = read_comments(written(tmp_path, "gc.csv", text))
    assert [(c.id, c.parent, c.label) for c in found.rows] == [("1", "hi", "1"), ("2", "hi", "0")]
    assert found.skipped == {"label is not 0 or 1": 1}


def test_emotions(tmp_path):
    text = 'He said "hi\t3,11\tc1\nplain text\t27\tc2\nwhat is this\t99\tc3\nno tabs here\n\n'
    text += '"""Stop"", he said."\t2\tc4\r\n"never closed\t3\tc5\nwhat is this\t-1\tc6\n'
    found = read_comments(written(tmp_path, "train.tsv", text))
    assert [(c.id, c.text, c.label) for c in found.rows] == [
        ("c1", 'He said "hi', "annoyance,disgust"),
        ("c2", "plain text", "neutral"),
        ("c4", '"Stop", he said.', "anger"),
    ]
    assert found.skipped == {"unknown emotion": 2, "wrong number of fields": 2}


def test_top_posts(tmp_path):
    text = "created_utc,score,domain,id,title,selftext\n1.0,300,i.imgur.com,p1,Look at this,\n"
    [post] = read_comments(written(tmp_path, "pics.csv.gz", text)).rows
    assert post == Comment("p1", "", "Look at this", 300, subreddit="pics")


def test_a_folder_is_read_whole_by_its_name_too(tmp_path, monkeypatch):
    top = tmp_path / "reddit" / "top_posts"
    top.mkdir(parents=True)
    for name in ("pics", "books"):
        written(top, f"{name}.csv", f"created_utc,score,id,title,selftext\n1.0,3,{name},A title,\n")
    (top / "LICENSE_NOTE.txt").write_text("no comments here")
    assert [post.id for post in read_comments(top).rows] == ["books", "pics"]
    monkeypatch.setenv("LANG_ENVS_DATA", str(tmp_path))
    assert read_comments("top_posts") == read_comments(top)
    assert [post.id for post in read_comments(["top/pics", top / "books.csv"]).rows] == ["pics", "books"]


POSTS = [{"id": "p1", "title": "A question", "selftext": "with a body", "score": 3}]
DUMP = [
    {"id": "a", "parent_id": "t3_p1", "body": "an answer", "score": 2, "subreddit": "askit"},
    {"id": "b", "parent_id": "t1_a", "body": "thanks &lt;3", "score": -1},
    {"id": "c", "parent_id": "t1_elsewhere", "body": "lost", "score": 1},
    {"id": "d", "parent_id": "t1_a", "body": "[deleted]", "score": 1},
    {"id": "e", "parent_id": "t1_d", "body": "to nobody", "score": 1},
    {"id": "f", "parent_id": "t1_a", "body": "hidden score", "score": None},
    {"id": "g", "parent_id": "t1_a", "score": 1},
    {"id": "i", "parent_id": "t1_f", "body": "why hide it?", "score": 4},
    {"parent_id": "t1_a", "body": "who?", "score": 1},
    {"id": "h", "parent_id": "t1_a", "body": "half of a pair \ud83d", "score": 1},
]


def json_lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_dumps_are_joined_to_their_parents(tmp_path):
    posts = written(tmp_path, "RS_2019-05", json_lines(POSTS))
    dump = written(tmp_path, "RC_2019-05", json_lines(DUMP) + '{"id": "cut\n')
    found = read_comments([posts, dump])
    assert found.rows == (
        Comment("a", "A question\n\nwith a body", "an answer", 2, subreddit="askit"),
        Comment("b", "an answer", "thanks <3", -1),
        Comment("i", "hidden score", "why hide it?", 4),
    )
    assert found.skipped == {
        "parent not in the files": 1,
        "deleted": 1,
        "parent deleted": 1,
        "score is not a number": 1,
        "no body": 1,
        "no id": 1,
        "broken characters": 1,
        "not JSON": 1,
    }


def test_dumps_as_they_are_compressed(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "RC_2019-05.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(json_lines(DUMP).encode()))
    assert [comment.id for comment in read_comments(path).rows] == ["b", "i"]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CorpusError, match=r"RC_2019-05\.zst"):
        read_comments(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe.txt", b"Take two eggs\nand beat them\n", r"recipe\.txt, line 1: expected the header .* got 'Take two"),
        ("empty.csv", b"", "line 1"),
        ("other.csv", b"a,b,c\n1,2,3\n", "parent_text"),
        ("table.tsv", b"one\ttwo\tthree\n", "GoEmotions"),
        ("list.json", b"[1, 2]\n", "pushshift"),
        ("users.json", b'{"id": "u", "karma": 3}\n', "pushshift"),
        ("latin.csv", KAGGLE.encode() + kaggle("a", "caf\u00e9", 1).encode("latin-1"), r"latin\.csv.*UTF-8"),
        ("cut.csv.gz", gzip.compress((KAGGLE + kaggle("a", "hi", 1) * 99).encode())[:-30], r"cut\.csv\.gz"),
        ("none.csv", (KAGGLE + kaggle("a", "[deleted]", 1)).encode(), "'deleted': 1"),
    ],
)
def test_files_of_another_kind_are_refused_in_words(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_comments(path)


def test_a_missing_file_and_a_zip_of_several(tmp_path):
    with pytest.raises(CorpusError, match="no file"):
        read_comments(tmp_path / "nowhere.csv")
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("comments_positive.csv", KAGGLE)
        archive.writestr("comments_negative.csv", KAGGLE)
    with pytest.raises(CorpusError, match="one file"):
        read_comments(tmp_path / "both.zip")
    with pytest.raises(ValueError, match="limit"):
        read_comments(tmp_path / "both.zip", limit=0)


def test_built_in_comments_are_seeded_and_varied():
    comments = generate(threads=400)
    assert comments.rows == generate.__wrapped__(threads=400).rows
    assert comments.rows != generate(threads=400, seed=1).rows
    assert len(comments) == 1600 == len({comment.id for comment in comments.rows})
    assert len({comment.text for comment in comments.rows}) > 1400
    assert len({comment.parent for comment in comments.rows}) > 300
    assert not any("{" in comment.text + comment.parent for comment in comments.rows)
    with pytest.raises(ValueError, match="at least 1"):
        generate(threads=0)


def test_built_in_scores_follow_the_tone():
    rows = generate().rows
    liked = [np.mean([(c.score or 0) > 0 for c in rows if c.label == tone]) for tone in TONES]
    assert liked == sorted(liked, reverse=True)
    assert 0.8 < liked[0] < 1
    assert 0 < liked[-1] < 0.1


def test_comments_are_about_what_was_posted():
    topic, thing = subject_of("Finally got good at Boss Fights, not speedruns")
    assert (topic.name, thing) == ("gaming", "boss fights")
    assert subject_of("nothing of the kind") is None
    texts = [write(np.random.default_rng(seed), "kind", TOPICS[0], "curry") for seed in range(40)]
    assert sum("curry" in text.lower() for text in texts) > 20
