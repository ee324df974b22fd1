"""Normalises the words of a question about a built-in scene, and tells questions from gibberish."""

from __future__ import annotations

import re

from lang_envs.corpora.scenes.facts import ENTITIES, FACTS, SYNONYMS

_WORD = re.compile(r"[a-z0-9]+")
_OPENERS = frozenset(
    """is are was were do does did can could any has have what whats which how where wheres who when whose and so ok
    about anyone anybody if would in at on from isnt arent""".split()  # noqa: SIM905  # a list would be forty lines
)
"""The words with which a question begins; a text without one must consist of known words only."""
_COMMON = _OPENERS | frozenset(
    """a an the there it he she they this that these those you see him her his their its be being of to with for by near
    or other more else many much only just all both one lot tell look like seem appear think color kind type sort number
    breed piece picture photo image scene shot pic taken made out up down wearing wear worn visible room place location
    setting time weather inside outside indoor outdoor indoors outdoors alone old young elderly adult age
    expression mood face gender doing hand head close zoomed far background not full big i we as front behind next
    around side older younger glasses mostly real them""".split()  # noqa: SIM905
)
_KNOWN = _COMMON | {
    word
    for phrases in (
        (phrase for values in FACTS.values() for phrase in values),
        (phrase for entity in ENTITIES.values() for phrase in entity.words),
        SYNONYMS,
        SYNONYMS.values(),
    )
    for phrase in phrases
    for word in phrase.split()
}
_MOST_WORDS, _KNOWN_SHARE = 20, 2 / 3
_SINGULAR = {
    word: word
    for word in ("glasses", "sunglasses", "bus", "this", "is", "his", "does", "has", "was", "its", "whats", "wheres")
} | {"clothes": "clothe"}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, in the singular, synonyms replaced by the words of the scenes."""
    words = _WORD.findall(text.lower().replace("'", "").replace("’", ""))
    singular = (_SINGULAR.get(word) or SYNONYMS.get(word) or _singular(word) for word in words)
    return [SYNONYMS.get(word, word) for word in singular]


def is_question(words: list[str]) -> bool:
    """Whether words are a question. Long texts, and texts of unknown words, hold keywords only by chance."""
    if not 1 <= len(words) <= _MOST_WORDS:
        return False
    known = sum(word in _KNOWN for word in words) / len(words)
    return known == 1 or (words[0] in _OPENERS and known >= _KNOWN_SHARE)


def _singular(word: str) -> str:
    if word.endswith(("ches", "shes", "sses")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
