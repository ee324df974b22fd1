"""Trains the packaged byte-level BPE vocabulary, ``lang_envs/vocabularies/english.json``, on real English text.

    python scripts/train_vocabulary.py --data "$LANG_ENVS_DATA"

The vocabulary is learned from the frequencies of byte sequences in the files; their text itself is not kept. Neither
tests nor users make the packaged file again: recorded data contain the tokenizer that they were written with.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from lang_envs.chat_templates import MARKERS
from lang_envs.corpora.files import json_lines, open_text, read_json

VOCABULARY = 2_048
OUT = Path(__file__).parent.parent / "lang_envs" / "vocabularies" / "english.json"


def texts(data: Path) -> Iterator[str]:
    """Utterances of MultiWOZ 2.1, Taskmaster-4, VisDial, GoEmotions and OpenBookQA."""
    for dialogue in read_json(data / "dialogue/multiwoz21/val.json.zip").values():
        yield from (turn["text"] for turn in dialogue["log"])
    for path in sorted((data / "dialogue/taskmaster4/data").glob("*.json*")):
        for dialogue in read_json(path):
            yield from (turn["text"] for turn in dialogue["utterances"])
    facts = read_json(data / "visual_dialogue/visdial_v1_subset/visdial_1.0_val_vispro.json.gz")["data"]
    yield from facts["questions"]
    yield from facts["answers"]
    with open_text(data / "reddit/goemotions/dev.tsv.gz") as file:
        yield from (row[0] for row in csv.reader(file, delimiter="\t"))
    for _, record in json_lines(data / "qa/openbookqa_swag/train.json.gz"):
        yield from (str(record[field]) for field in ("sent1", "sent2", "ending0", "ending1", "ending2", "ending3"))


def train(texts: Iterator[str]) -> Tokenizer:
    """Byte-level BPE: any text can be spelled, and is read back as it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(marker, special=True, normalized=False) for marker in MARKERS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder LANG_ENVS_DATA names")
    data = parser.parse_args().data
    tokenizer = train(texts(data))
    OUT.parent.mkdir(exist_ok=True)
    tokenizer.save(str(OUT), pretty=False)
    said = list(texts(data))
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(said))
    words = sum(len(text.split()) for text in said)
    print(f"{OUT}: {tokenizer.get_vocab_size()} tokens, {tokens / words:.2f} to a word of {len(said)} utterances")


if __name__ == "__main__":
    main()
