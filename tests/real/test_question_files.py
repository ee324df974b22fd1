"""Multiple-choice questions as they are published."""

from collections import Counter

import pytest

from lang_envs.corpora.questions import read_questions
from lang_envs.markup import markup_of
from lang_envs.tasks.clarifying_qa import ClarifyingQA

# file, questions by their number of choices, a right answer
FILES = [
    ("arc_official_jsonl/ARC-Challenge-Dev.jsonl", {4: 291, 3: 3}, "Record the details of the investigation."),
    ("qa_hf_arrow/ai2_arc/ARC-Challenge/validation", {4: 295, 3: 3, 5: 1}, "Record the details of the investigation."),
    ("qa_hf_arrow/ai2_arc/ARC-Easy/validation", {4: 567, 5: 2, 3: 1}, "cellular telephone"),
    ("qa_hf_arrow/openbookqa/main/validation", {4: 500}, "Deep sea animals"),
    ("openbookqa_swag/dev.json", {4: 500}, "Deep sea animals"),
    ("openbookqa_swag/train.json.gz", {4: 4957}, "plants sprouting, blooming and wilting"),
    ("oe_eval/arc_challenge/train_rc_5shot.requests.jsonl.gz", {4: 1117, 3: 1, 5: 1}, "dry palms"),
    ("mmlu/dev.tar.gz", {4: 285}, None),
    ("mmlu/val.tar.gz", {4: 1542}, None),
    (
        "cosmosqa/train_sample.csv",
        {4: 10},
        "This person likes music and likes to see the show , they will see other bands play .",
    ),
]


@pytest.mark.parametrize(("file", "sizes", "first"), FILES)
def test_every_question_is_read(real_data, file, sizes, first):
    questions = read_questions(real_data / "qa" / file)
    assert Counter(len(question.choices) for question in questions) == sizes
    if first is not None:
        assert questions[0].choices[questions[0].answer] == first


def test_two_layouts_of_one_data_set_agree(real_data):
    hub = read_questions(real_data / "qa/qa_hf_arrow/openbookqa/main/validation")
    swag = read_questions(real_data / "qa/openbookqa_swag/dev.json")
    assert [(q.id, q.choices, q.answer) for q in hub] == [(q.id, q.choices, q.answer) for q in swag]


def test_mmlu_has_57_subjects(real_data):
    path = real_data / "qa/mmlu/dev.tar.gz"
    subjects = Counter(question.id.partition(" row ")[0].removesuffix("_dev") for question in read_questions(path))
    assert len(subjects) == 57 and set(subjects.values()) == {5}
    assert len(read_questions(path, subject="anatomy")) == 5


@pytest.mark.parametrize("file", ["arc_official_jsonl/ARC-Challenge-Dev.jsonl", "cosmosqa/train_sample.csv"])
def test_openings_fit(real_data, file):
    task = ClarifyingQA(real_data / "qa" / file)
    markup = markup_of(task.tokenizer())
    lengths = [len(markup.opening(opening)) for opening in task.openings]
    assert sum(length <= task.max_context_tokens for length in lengths) >= 0.95 * len(lengths)


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(
    ("name", "questions"),
    [("openbookqa/train", 4957), ("openbookqa/dev", 500), ("arc/ARC-Challenge-Dev", 294), ("oe/arc/train", 1119)],
)
def test_questions_by_name(name, questions):
    assert ClarifyingQA(corpus=name).num_contexts == questions
