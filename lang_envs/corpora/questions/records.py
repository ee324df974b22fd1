"""The layouts of multiple-choice records: the keys that identify each, and how a record becomes a :class:`Question`.

A layout does not depend on the file format (JSON lines, CSV, Parquet, a saved hub data set), which :mod:`.files` reads.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lang_envs.corpora.questions.question import LETTERS, Question
from lang_envs.corpora.records import brief, label, shown, typed

Record = Mapping[str, Any]
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def arc_official(record: Record, name: str) -> Question:
    """ARC and OpenBookQA as their authors publish them: the stem and labelled choices under "question"."""
    question = typed(record, "question", dict)
    choices = typed(question, "choices", list)
    labels = [label(choice, "label") for choice in choices]
    texts = tuple(_text(choice, "text") for choice in choices)
    answer = _labelled(labels, record, "answerKey")
    return Question(_text(record, "id"), _text(question, "stem"), texts, answer, hint=_optional(record, "fact1"))


def hub_choices(record: Record, name: str) -> Question:
    """ARC ("question") and OpenBookQA ("question_stem") on the hub: choices as lists of texts and of labels."""
    choices = typed(record, "choices", dict)
    labels = [label({"label": one}, "label") for one in typed(choices, "label", list)]
    texts = _texts(choices, "text")
    if len(labels) != len(texts):
        raise ValueError(f"field 'choices': {len(texts)} texts have {len(labels)} labels")
    text = _text(record, "question_stem" if "question_stem" in record else "question")
    answer = _labelled(labels, record, "answerKey")
    return Question(_text(record, "id"), text, texts, answer, hint=_optional(record, "fact1"))


def swag(record: Record, name: str) -> Question:
    """SWAG: a beginning in two parts and four endings. Some copies of OpenBookQA have this layout too."""
    text = " ".join(part for part in (_text(record, "sent1"), _optional(record, "sent2")) if part)
    endings = _numbered(record, "ending")
    answer = _place(record, "label", len(endings))
    return Question(_text(record, "id") if "id" in record else name, text, endings, answer)


def cosmosqa(record: Record, name: str) -> Question:
    """CosmosQA: a passage, a question and four answers."""
    answers = _numbered(record, "answer")
    answer = _place(record, "label", len(answers))
    context = _text(record, "context")
    return Question(_text(record, "id"), _text(record, "question"), answers, answer, context)


def sciq(record: Record, name: str) -> Question:
    """SciQ: the right answer, three distractors and a supporting text, which is the hint.

    The file has the right answer in its own field; its place among the choices follows from the question's text.
    """
    wrong = [_text(record, f"distractor{i}") for i in (1, 2, 3)]
    text = _text(record, "question")
    choices, answer = _placed(_text(record, "correct_answer"), wrong, text)
    return Question(name, text, choices, answer, hint=_optional(record, "support"))


def mmlu(record: Record, name: str) -> Question:
    """MMLU: four choices and the place of the right one, on the hub as a number, in the official files as a letter."""
    choices = _texts(record, "choices")
    answer = record.get("answer")
    if isinstance(answer, str):
        return Question(name, _text(record, "question"), choices, _labelled(LETTERS, record, "answer"))
    return Question(name, _text(record, "question"), choices, _place(record, "answer", len(choices)))


def oe_eval(record: Record, name: str) -> Question:
    """A request of OLMo's evaluation suite: the item under "doc"; one line for each choice, read as one question."""
    doc = typed(record, "doc", dict)
    text = _text(doc, "query").removeprefix("Question: ").removesuffix("\nAnswer:")
    choices = _texts(doc, "choices")
    return Question(_text(record, "native_id"), text, choices, _place(doc, "gold", len(choices)))


def place_of(record: Record) -> int:
    """The index of the choice that a request of OLMo's suite is about; -1 if it does not say.

    Raises:
        ValueError: it is not an integer.
    """
    return typed(record, "idx", int) if "idx" in record else -1


def mathdial(record: Record, name: str) -> Question:
    """MathDial: what is the final answer, given a student's wrong attempt?

    The data set has no choices of its own. The choices here are the right final number, the student's number, and two
    more that occur in the solution or the question, or if these are too few, numbers nearby. The question's text
    decides their order. The hint is the teacher's description of the student's confusion, which says what went wrong
    but not the answer.
    """
    text, solution = _text(record, "question"), _text(record, "ground_truth")
    attempt = _text(record, "student_incorrect_solution")
    right = _last_number(solution, "ground_truth")
    found = _NUMBER.findall(attempt)[-1:] + _NUMBER.findall(f"{solution} {text}")
    nearby = [f"{float(right) + step:g}" for step in (1, 10, 2)]
    wrong = dict.fromkeys(number.replace(",", "") for number in found + nearby)
    choices, answer = _placed(right, [number for number in wrong if float(number) != float(right)][:3], text)
    asked = f"{text}\nA student wrote: {attempt}\nWhat is the right answer?"
    return Question(name, asked, choices, answer, hint=_optional(record, "teacher_described_confusion"))


LAYOUTS: dict[str, tuple[frozenset[str], Callable[[Record, str], Question]]] = {
    "oe_eval": (frozenset({"doc", "native_id"}), oe_eval),
    "swag": (frozenset({"sent1", "ending0"}), swag),
    "cosmosqa": (frozenset({"context", "answer0"}), cosmosqa),
    "sciq": (frozenset({"correct_answer", "distractor1"}), sciq),
    "mathdial": (frozenset({"ground_truth", "student_incorrect_solution"}), mathdial),
    "hub": (frozenset({"question_stem", "choices"}), hub_choices),
    "mmlu": (frozenset({"question", "choices", "answer"}), mmlu),
    "arc": (frozenset({"question", "answerKey"}), arc_official),
}
"""The identifying keys and the reader of each layout, in the order in which they are tried."""


def reader_of(record: Any) -> Callable[[Record, str], Question]:
    """The reader of a record's layout.

    Raises:
        ValueError: the record has no known layout.
    """
    if isinstance(record, Mapping):
        for keys, reader in LAYOUTS.values():
            if keys <= record.keys():
                return hub_choices if reader is arc_official and "choices" in record else reader
    got = brief(sorted(map(str, record))) if isinstance(record, Mapping) else shown(record)
    known = "; ".join(f"{name}: {', '.join(sorted(needed))}" for name, (needed, _) in LAYOUTS.items())
    raise ValueError(f"expected a multiple-choice record of a known layout ({known}), got {got}")


def _text(record: Record, key: str) -> str:
    text = label(record, key).strip()
    if not text:
        raise ValueError(f"field {key!r}: expected some text, got none")
    return text


def _texts(record: Record, key: str) -> tuple[str, ...]:
    values = typed(record, key, list)
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"field {key!r}: expected texts, got {shown(value)}")
    return tuple(value.strip() for value in values)


def _optional(record: Record, key: str) -> str:
    value = record.get(key)
    return value.strip() if isinstance(value, str) else ""


def _numbered(record: Record, stem: str) -> tuple[str, ...]:
    """The values of the fields stem0, stem1, ..., up to the first that is missing."""
    found: list[str] = []
    while f"{stem}{len(found)}" in record:
        found.append(_text(record, f"{stem}{len(found)}"))
    return tuple(found)


def _labelled(labels: Sequence[str], record: Record, key: str) -> int:
    asked = label(record, key).strip() if record.get(key) is not None else ""
    if asked not in labels:
        what = f"got {brief(asked)}" if asked else "got nothing: this may be a split without answers"
        raise ValueError(f"field {key!r}: expected one of {brief(list(labels))}, {what}")
    return labels.index(asked)


def _place(record: Record, key: str, choices: int) -> int:
    value = record.get(key)
    places = {str(place): place for place in range(choices)}
    is_place = isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip() in places
    if not is_place:
        raise ValueError(
            f"field {key!r}: expected a place from 0 to {choices - 1}, got {shown(value)}; a split without answers has "
            "none"
        )
    return places[str(value).strip()]


def _placed(right: str, wrong: Sequence[str], text: str) -> tuple[tuple[str, ...], int]:
    """The choices with the right answer among the wrong ones, and its index, which the question's text decides."""
    place = zlib.crc32(text.encode()) % (len(wrong) + 1)
    return (*wrong[:place], right, *wrong[place:]), place


def _last_number(text: str, key: str) -> str:
    numbers = _NUMBER.findall(text)
    if not numbers:
        raise ValueError(f"field {key!r}: expected a number at its end, got {brief(text[-40:])}")
    return str(numbers[-1]).replace(",", "")
