"""Readers of multiple-choice questions: each layout, each container, and errors that say what is wrong with a file."""

import csv
import gzip
import io
import json
import tarfile

import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset

from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.questions import Question, read_questions
from lang_envs.corpora.questions.hinted import HintedCase
from lang_envs.markup import markup_of
from lang_envs.speech import Speech
from lang_envs.tasks.clarifying_qa import ClarifyingQA

ARC = {
    "id": "q1",
    "question": {
        "stem": "What melts?",
        "choices": [{"text": text, "label": label} for text, label in zip("xyz", "123", strict=True)],
    },
    "answerKey": "2",
}
HUB_ARC = {
    "id": "q1",
    "question": "What melts?",
    "choices": {"text": [*"vwxyz"], "label": [*"ABCDE"]},
    "answerKey": "E",
}
HUB_OBQA = {
    "id": "q1", "question_stem": "What melts?", "choices": {"text": [*"wxyz"], "label": [*"ABCD"]}, "answerKey": "C",
    "fact1": "y gets warm",
}  # fmt: skip
SWAG = {
    "id": "q1",
    "sent1": "What melts",
    "sent2": "in May?",
    **{f"ending{i}": t for i, t in enumerate("wxyz")},
    "label": 3,
}
COSMOS = {
    "id": "q1", "context": "It was hot.", "question": "What melts?", **{f"answer{i}": t for i, t in enumerate("wxyz")},
    "label": "1",
}  # fmt: skip
SCIQ = {
    "question": "What melts?", "distractor1": "x", "distractor2": "y", "distractor3": "z", "correct_answer": "ice",
    "support": "Ice melts.",
}  # fmt: skip
MMLU = {"question": "What melts?", "subject": "physics", "choices": [*"wxyz"], "answer": 2}
OE_EVAL = [
    {
        "native_id": "q1", "idx": i, "label": 1,
        "doc": {"id": "q1", "query": "Question: What melts?\nAnswer:", "choices": [*"xyz"], "gold": 1},
    }
    for i in range(3)
]  # fmt: skip
MATHDIAL = {
    "qid": 5000012, "question": "Two boxes of 1,000 pens; 12 are lost. How many are left?", "conversation": "",
    "ground_truth": "2 x 1000 = 2000.\n2000 - 12 = 1988.\n 1988",
    "teacher_described_confusion": "forgets the lost ones",
    "student_incorrect_solution": "There are 2,000 pens. 2000",
}  # fmt: skip

LAYOUTS = {
    "arc": ([ARC], "y", ""),
    "hub arc": ([HUB_ARC], "z", ""),
    "hub openbookqa": ([HUB_OBQA], "y", "y gets warm"),
    "swag": ([SWAG], "z", ""),
    "cosmosqa": ([COSMOS], "x", ""),
    "sciq": ([SCIQ], "ice", "Ice melts."),
    "mmlu": ([MMLU], "y", ""),
    "oe_eval": (OE_EVAL, "y", ""),
    "mathdial": ([MATHDIAL], "1988", "forgets the lost ones"),
}


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout(tmp_path, layout):
    records, right, hint = LAYOUTS[layout]
    [question] = read_questions(write(tmp_path / "a.jsonl", records))
    assert question.choices[question.answer] == right and "ABCDE"[question.answer] == question.letter
    assert question.hint == hint and 3 <= len(question.choices) <= 5
    if layout != "mathdial":
        assert question.text.replace(" in May", "") == "What melts?"
        assert len(question.choices) == {"arc": 3, "hub arc": 5, "oe_eval": 3}.get(layout, 4)
        assert question.context == ("It was hot." if layout == "cosmosqa" else "")
    else:
        assert set(question.choices) == {"1988", "2000", "2", "1000"} and "2,000 pens" in question.text


@pytest.mark.parametrize("layout", ["arc", "hub openbookqa", "sciq", "mmlu", "mathdial"])
def test_each_container_of_the_same_records(tmp_path, layout):
    records = LAYOUTS[layout][0]
    expected = read_questions(write(tmp_path / "a.jsonl", records))[0]
    (tmp_path / "list.json").write_text(json.dumps(records))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(json.dumps(records[0]))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "a.parquet")
    Dataset.from_list(records).save_to_disk(str(tmp_path / "saved"))
    for name in ("list.json", "a.jsonl.gz", "a.parquet", "saved"):
        found = read_questions(tmp_path / name)[0]
        assert (found.text, found.choices, found.answer, found.hint) == (
            expected.text, expected.choices, expected.answer, expected.hint
        )  # fmt: skip


def test_csv_with_a_header_keeps_commas_quotes_and_line_breaks(tmp_path):
    record = COSMOS | {"context": 'He said, "no".\nThen it\nwas hot.'}
    with (tmp_path / "a.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(record))
        table.writeheader()
        table.writerow(record)
    assert read_questions(tmp_path / "a.csv")[0].context == record["context"]


def mmlu_tar(path, **subjects):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in subjects.items():
            info = tarfile.TarInfo(f"val/{name}.csv")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def test_mmlu_without_header_in_a_tar_a_folder_or_alone(tmp_path):
    physics, law = 'What melts?,w,"x, or y",y,z,B\n', "Who sues?,1,2,3,4,D\nWho pays?,1,2,3,4,A\n"
    path = mmlu_tar(tmp_path / "val.tar.gz", high_school_physics_val=physics, law_val=law)
    questions = read_questions(path)
    assert [(q.text, q.answer) for q in questions] == [("What melts?", 1), ("Who sues?", 3), ("Who pays?", 0)]
    assert questions[0].choices[1] == "x, or y" and len({q.id for q in questions}) == 3
    assert [q.text for q in read_questions(path, subject="law")] == ["Who sues?", "Who pays?"]
    marked = mmlu_tar(tmp_path / "mac.tar.gz", law_val=law, **{"._law_val": "\0\1"})
    assert len(read_questions(marked)) == 2
    with pytest.raises(CorpusError, match="no questions of the subject 'latin'"):
        read_questions(path, subject="latin")
    folder = tmp_path / "val"
    folder.mkdir()
    (folder / "law_val.csv").write_text(law)
    assert read_questions(folder) == read_questions(folder / "law_val.csv") == questions[1:]


def test_the_right_answer_of_sciq_is_not_always_at_the_same_place(tmp_path):
    records = [SCIQ | {"question": f"What melts at {i}?"} for i in range(40)]
    questions = read_questions(write(tmp_path / "a.jsonl", records))
    assert {q.answer for q in questions} == {0, 1, 2, 3}
    assert all(q.choices[q.answer] == "ice" for q in questions)


BROKEN = [
    ([ARC | {"answerKey": "9"}], "line 1, field 'answerKey': expected one of"),
    ([{**ARC, "answerKey": ""}], "without answers"),
    ([HUB_ARC, HUB_ARC], "line 2, field 'id': 'q1' is there twice"),
    ([{k: v for k, v in ARC.items() if k != "id"}], "field 'id': missing"),
    (
        [HUB_ARC | {"choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}],
        "expected 3 to 5 of them, got 2",
    ),
    ([HUB_ARC | {"choices": {"text": [*"uvwxyz"], "label": [*"ABCDEF"]}}], "expected 3 to 5 of them, got 6"),
    ([HUB_ARC | {"choices": {"text": [*"xyz"], "label": [*"AB"]}}], "3 texts have 2 labels"),
    ([HUB_ARC | {"choices": {"text": ["x", "", "z"], "label": [*"ABC"]}, "answerKey": "A"}], "field 'choices'"),
    ([SWAG | {"label": 4}], "field 'label': expected a place from 0 to 3, got int 4"),
    ([SWAG | {"label": None}], "field 'label'"),
    ([COSMOS | {"label": -1}], "got int -1; a split without answers"),
    ([MMLU | {"choices": "wxyz"}], "field .choices.: expected list, got str"),
    ([SCIQ | {"distractor2": " "}], "field 'distractor2': expected some text"),
    ([MATHDIAL | {"ground_truth": "many"}], "field 'ground_truth': expected a number"),
    (OE_EVAL[:2], "expected a line for each choice"),
    ([*OE_EVAL, OE_EVAL[0] | {"doc": OE_EVAL[0]["doc"] | {"gold": 2}}], "is there twice"),
    ([{"prompt": "x", "completion": "y"}], "known layout .*got .'completion', 'prompt'"),
    ([["x"]], "known layout"),
    ([ARC, HUB_OBQA], "line 2, field 'question': missing"),
    ([], "no questions"),
]


@pytest.mark.parametrize(("records", "message"), BROKEN)
def test_what_is_wrong_is_said_with_file_record_and_field(tmp_path, records, message):
    with pytest.raises(CorpusError, match=message) as raised:
        read_questions(write(tmp_path / "a.jsonl", records))
    assert "a.jsonl" in str(raised.value)


def test_damaged_files(tmp_path):
    def refused(name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorpusError, match=message):
            read_questions(tmp_path / name)

    whole = json.dumps(ARC).encode()
    refused("cut.jsonl", whole[:-9], "line 1: expected JSON")
    refused("cut.json", b"[" + whole, "cut short")
    refused("latin.jsonl", whole.replace(b"melts", b"m\xe9lts"), "expected UTF-8")
    refused("latin.csv", b"question,label\nm\xe9,1\n", "expected UTF-8")
    refused("cut.jsonl.gz", gzip.compress(whole * 99)[:-30], "cannot be decompressed")
    refused("wrong.parquet", whole, "expected a whole Parquet file")
    refused("wrong.tar", whole, "expected a tar archive")
    refused("quote.csv", b'id,question\n1,"never closed\n', "row 1: expected CSV")
    refused("short.csv", b"What melts?,w,x,B\n", "short row 1: expected 6 fields")
    refused("letter_val.csv", b"What melts?,w,x,y,z,F\n", "letter_val row 1, field 'answer': expected one of")
    refused("a.txt", whole, "expected a name that ends in")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(CorpusError, match="one for each subject, got none"):
        read_questions(tmp_path / "empty.tar")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError, match="saved by save_to_disk"):
        read_questions(tmp_path / "folder")
    with pytest.raises(CorpusError, match="there is no file"):
        read_questions(tmp_path / "nowhere.jsonl")


def test_the_asker_tells_the_hint_then_rules_out_until_two_choices_remain():
    question = Question(
        "q", "What melts?", ("iron", "sand", "warm ice", "gold"), 2, hint="It is found in warm ice cubes."
    )
    case = HintedCase(question)
    replies = []
    for nth in range(4):
        replies.append(case.reply("Which?", nth))
        assert 2 in case.remaining(replies)
    assert replies[0] == question.hint and case.remaining(replies[:1]) == (2,)
    plain = HintedCase(Question("q", "What melts?", ("iron", "sand", "warm ice", "gold"), 2))
    told = [plain.reply("Which?", nth) for nth in range(4)]
    assert [len(plain.remaining(told[:n])) for n in range(5)] == [4, 3, 2, 2, 2]
    assert plain.worth_asking(told[:2]) and not plain.worth_asking(told[:3])
    assert all("C" not in reply for reply in told[:2])


def test_only_the_hint_speaks_for_a_choice_not_what_the_asker_says_besides():
    case = HintedCase(Question("q", "Which word?", ("sure", "not that", "answer", "please"), 0))
    besides = ["I am sure that it is not C.", "I cannot tell you more. Please give me your answer now."]
    assert case.remaining(besides) == (0, 1, 3)


def test_a_list_may_stand_below_a_blank_line(tmp_path):
    (tmp_path / "list.json").write_text("\n " + json.dumps([MMLU]))
    assert [question.id for question in read_questions(tmp_path / "list.json")] == ["record 1"]


def test_the_name_of_a_special_token_is_text(tmp_path):
    path = write(tmp_path / "a.jsonl", [MMLU | {"question": "Who <|agent|>?"}])
    assert [question.text for question in read_questions(path)] == ["Who <|agent|>?"]
    task = ClarifyingQA(path)
    [opening] = Speech(task, task.tokenizer()).openings(task.openings)
    assert opening.count(task.tokenizer().convert_tokens_to_ids("<|agent|>")) == 1
    assert markup_of(task.tokenizer()).read(opening) == task.openings[0]


def test_half_a_character_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"line 1, .*the text .* holds half a character"):
        read_questions(write(tmp_path / "a.jsonl", [MMLU | {"question": "Who \ud83d?"}]))


def test_a_long_hint_is_cut():
    case = HintedCase(Question("q", "What melts?", ("x", "y", "z"), 0, hint="word " * 200))
    assert len(case.reply("What?", 0).split()) == 60
