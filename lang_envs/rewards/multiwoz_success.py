"""MultiWOZ's measures of a whole dialogue: Inform, Success and, with BLEU, Combined.

Sources: Budzianowski et al. 2018 (arXiv:1810.00278) defined them; Nekvinda and Dusek 2021 (arXiv:2106.05555)
standardised their computation. Both read delexicalised text. This module also reads text as people write it:

* Offers. A delexicalised turn with the placeholder of a name or a train's number offers all entities that the database
  returns for the dialogue state at that turn; all of them must satisfy the goal. A turn in words offers the entities
  that it names; one of them must satisfy the goal.
* Attributes. In delexicalised text, an attribute is given if its placeholder is in a turn about its domain. In words, a
  phone, a postcode, a reference or the number of a train is given if a text of that form is in such a turn. An address
  is given by the number and the name of its street.
* Nothing needs to be offered if the goal states a name, for taxis, the police and hospitals, and for a train whose
  number the goal does not request. A reference counts only if something was booked by that turn.

Success counts phone, address, postcode, the number of the train and, if the goal books, the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.multiwoz.annotated import Annotated, State
from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.goal import Goal, Need
from lang_envs.corpora.multiwoz.values import OFFERED
from lang_envs.rewards.multiwoz_mentions import Mentions, Reader
from lang_envs.rewards.overlap import sacrebleu_metrics

REQUESTABLE = ("phone", "address", "postcode", "trainID")
"""the requests of a goal that count for Success, besides the reference of a booking"""


class Judgement(NamedTuple):
    """Inform and Success of one dialogue."""

    inform: bool
    success: bool


class Offer(NamedTuple):
    """The entities that a turn offers in one domain."""

    keys: tuple[str, ...]
    in_words: bool
    """whether the turn named the entities; otherwise a placeholder stands for all of them"""


class Evaluator:
    """Computes Inform and Success of dialogues with a database."""

    def __init__(self, database: Database) -> None:
        self.database, self.reader = database, Reader(database)

    def judge(self, annotated: Annotated, said: Sequence[str]) -> Judgement:
        """Whether the agent's turns fulfil the goal.

        Args:
            annotated: the dialogue whose agent is replaced, with the dialogue state of each turn.
            said: the agent's text for each of its turns.

        Raises:
            ValueError: there are not as many texts as the agent has turns.
        """
        turns = annotated.agent_turns
        if len(said) != len(turns):
            raise ValueError(f"{annotated.dialogue.id}: expected {len(turns)} turns of the agent, got {len(said)}")
        offers: dict[str, Offer] = {}
        given: dict[str, set[str]] = {domain: set() for domain in annotated.goal.domains}
        before: State = {}
        active: tuple[str, ...] = annotated.goal.domains[:1]
        for text, turn in zip(said, turns, strict=True):
            active = tuple(d for d in turn.state if turn.state[d] != before.get(d)) or active
            before = turn.state
            mentions = self.reader.read(text)
            offers |= self._offers(mentions, active, turn.state)
            for domain in given:
                given[domain] |= self._given(mentions, domain, active, domain in turn.booked)
        inform = self.informs(annotated.goal, offers)
        return Judgement(inform, inform and all(requested(need) <= given[need.domain] for need in annotated.goal.needs))

    def informs(self, goal: Goal, offers: Mapping[str, Offer]) -> bool:
        """Whether the last offer in each domain satisfies the goal's constraints."""
        return all(self._informed(need, offers.get(need.domain)) for need in goal.needs)

    def _informed(self, need: Need, offer: Offer | None) -> bool:
        if need.domain not in OFFERED or "name" in need.info:
            return True
        if offer is None or not offer.keys:
            return need.domain == "train" and "trainID" not in need.requests
        right = {entity.key for entity in self.database.query(need.domain, need.info)}
        return not right.isdisjoint(offer.keys) if offer.in_words else right.issuperset(offer.keys)

    def _offers(self, mentions: Mentions, active: Sequence[str], state: State) -> dict[str, Offer]:
        found = {domain: Offer(keys, True) for domain, keys in mentions.offers.items()}
        for domain in active:
            name = "trainID" if domain == "train" else "name"
            if domain in OFFERED and not mentions.placeholders.isdisjoint({("", name), (domain, name)}):
                keys = tuple(entity.key for entity in self.database.query(domain, state.get(domain, {})))
                found[domain] = Offer(keys, False)
        return found

    def _given(self, mentions: Mentions, domain: str, active: Sequence[str], booked: bool) -> set[str]:
        about = domain in active or domain in mentions.offers
        slots = {slot for of, slot in mentions.placeholders if of == domain or (not of and domain in active)}
        if about:
            slots |= mentions.patterns
            if self.reader.says_address(mentions, domain):
                slots.add("address")
        return slots if booked else slots - {"reference"}


def requested(need: Need) -> set[str]:
    """The attributes that must be given in one domain for Success."""
    return {slot for slot in need.requests if slot in REQUESTABLE} | ({"reference"} if need.book else set())


def bleu_counts(said: Sequence[str], references: Sequence[str]) -> NDArray[np.int64]:
    """The counts from which BLEU is computed, int64 [10].

    They are the matching n-grams of 1 to 4 words, all n-grams of 1 to 4 words, the words said, and the words of the
    references. They are sacrebleu's, with its tokenizer "13a" and in lower case. The counts of several dialogues can be
    added.

    Raises:
        ValueError: there are no texts, or not as many references as texts.
    """
    if not said or len(said) != len(references):
        raise ValueError(f"BLEU needs a reference for each turn, got {len(references)} for {len(said)}")
    metric: Any = sacrebleu_metrics().BLEU(lowercase=True)
    found = metric.corpus_score(list(said), [list(references)])
    return np.array([*found.counts, *found.totals, found.sys_len, found.ref_len], np.int64)


def bleu_of(counts: NDArray[np.int64]) -> float:
    """Corpus BLEU, from 0 to 100, from the counts [10] of :func:`bleu_counts`."""
    correct, total = counts[:4].tolist(), counts[4:8].tolist()
    return float(sacrebleu_metrics().BLEU.compute_bleu(correct, total, int(counts[8]), int(counts[9])).score)


def combined(bleu: float, inform: float, success: float) -> float:
    """BLEU + 0.5 (Inform + Success), all from 0 to 100."""
    return bleu + 0.5 * (inform + success)


_DELEXICALISED = {
    "Name": "name",
    "Id": "trainID",
    "Phone": "phone",
    "Addr": "address",
    "Post": "postcode",
    "Ref": "reference",
}


def delexicalised(annotated: Annotated) -> list[str]:
    """The texts of the human agent, with a placeholder for each annotated name or attribute that counts."""
    texts = []
    for turn in annotated.agent_turns:
        words = turn.text.split()
        for span in turn.spans:
            if span.slot in _DELEXICALISED and span.last < len(words):
                placeholder = f"[value_{_DELEXICALISED[span.slot]}]"
                words[span.first : span.last + 1] = [placeholder, *[""] * (span.last - span.first)]  # indices stay
        texts.append(" ".join(word for word in words if word))
    return texts
