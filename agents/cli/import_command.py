"""The command that makes a data set of a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.markup import escape
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, Positional, arg

from agents.cli.show import console, show_next

if TYPE_CHECKING:
    from datasets_builders.logs.importing import Options
    from datasets_builders.logs.report import Report

_PLAIN = ("prompt", "response", "messages", "system", "id", "policy")


@dataclass
class Import:
    """Makes a data set of a log of yours: a file of replies, conversations or comparisons, with ratings.

    The layout is recognised by the columns: prompt and response, OpenAI messages, ShareGPT, Alpaca, HH, UltraFeedback,
    pairs with or without scores, KTO, message trees, votes (SHP, WebGPT), token ids. What is printed says which one it
    is, where the rewards come from, and what was left out and why.

    Examples:
        lang-envs import chats.jsonl --out data/chats
        lang-envs import answers.csv --out data/x --prompt-column question --response-column said --reward-column stars
        lang-envs import helpsteer.parquet --out data/x --reward-column helpfulness=0.7 correctness=0.3
        lang-envs import alpaca.json --out data/x --reward my_module:score
        lang-envs import pairs.jsonl.zst --out data/x --tokenizer smollm2
        lang-envs train refit --data data/chats --out runs/chats
    """

    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE ...")]
    """files of one layout: .csv .tsv .json .jsonl .parquet .arrow, compressed or not; the folder of a `datasets` split;
    or hub:owner/name, which is downloaded"""
    out: Path
    """folder of the data set"""
    layout: str | None = None
    """name of the layout; by default it is recognised"""
    prompt_column: str | None = None
    """what was read before the reply: a text or messages"""
    response_column: str | None = None
    """what was replied"""
    messages_column: str | None = None
    """whole conversations"""
    system_column: str | None = None
    """system message of the conversation"""
    id_column: str | None = None
    """name of the conversation"""
    policy_column: str | None = None
    """who replied"""
    reward_column: tuple[str, ...] = ()
    """how good it was; several with weights as NAME=WEIGHT. For pairs: the chosen reply's and the rejected one's"""
    reward: str | None = None
    """scores the replies of conversations without a rating: MODULE:FUNCTION, which is called with lists of prompts
    (messages) and of replies and gives a number for each; or a reward model or classifier (folder, or name)"""
    no_reward: FlagCreatePairsOff[bool] = False
    """import without rewards: for agents that imitate"""
    tokenizer: str | None = None
    """that spells the texts: a folder, a .gguf file, or smollm2; by default the packaged one. A model can only learn
    from what its own tokenizer spelled"""
    markup: str | None = None
    """how conversations are written, where not by the tokenizer's chat template: markers, chatml, plain, or a file"""
    plain: bool = False
    """texts of prompts are read as they stand, names of special tokens included; else each is a message of the user"""
    max_tokens: int | None = None
    """of an episode: the oldest turns before a reply are left out; by default 1024, or what the model reads"""
    max_utterance_tokens: int = 256
    """of a reply"""
    longer: Literal["skip", "cut"] = "skip"
    """whether conversations with a longer reply are left out, or the reply is cut"""
    held_out: float = 0.1
    """fraction of the conversations to evaluate on, which training never sees; those with the same opening stay
    together"""
    split: str = "train"
    """of a data set of the hub"""
    strict: bool = False
    """stop at the first row that cannot be imported, instead of leaving it out"""

    def __call__(self) -> None:
        """Prints what was imported."""
        from datasets_builders import EpisodeDataset
        from datasets_builders.card import histogram
        from datasets_builders.logs.limits import tokenizer_for
        from datasets_builders.logs.writing import import_logs

        if not self.files:
            raise ValueError("Which log? lang-envs import FILE --out FOLDER")
        tokenizer = tokenizer_for(self.tokenizer, self.plain, self.markup)
        report = import_logs(self.files, self.out, tokenizer, self._options(tokenizer), self.held_out, self.split)
        dataset = EpisodeDataset.load(self.out, verify=False)
        screen = console()
        _print(report)
        screen.print(f"\n{escape(str(self.out))}: {dataset!r}", soft_wrap=True)
        screen.print(str(dataset), markup=False)
        if report.rewards != "none":
            screen.print(f"\nreturns\n{histogram(dataset.returns)}", markup=False)
        screen.print("\nan episode", style="dim")
        screen.print(dataset.tokenizer().decode(dataset[0].tokens), markup=False)
        told = report.warning(float(dataset.returns.min()), float(dataset.returns.max()))
        if told:
            screen.print(f"[yellow]{escape(told)}", soft_wrap=True)
        agent = "refit" if not told else "bc"  # which alone learns from equal rewards, or from none
        spelled = [] if self.tokenizer is None else ["--lm", self.tokenizer]
        show_next(screen, ["train", agent, "--data", self.out, *spelled, "--out", f"runs/{self.out.name}"])

    def _options(self, tokenizer: Any) -> Options:
        from datasets_builders.logs.importing import Options
        from datasets_builders.logs.limits import limits_for
        from datasets_builders.logs.table import Named

        columns = {kind: name for kind in _PLAIN if (name := getattr(self, f"{kind}_column")) is not None}
        named = Named(columns, tuple(map(_weighted, self.reward_column)), self.no_reward)
        limits = limits_for(tokenizer, self.tokenizer, self.max_tokens, self.max_utterance_tokens, self.longer)
        return Options(self.layout, named, self.reward, limits, self.plain, self.strict)


def _weighted(given: str) -> tuple[str, float]:
    """``helpful=0.7`` as a name and a weight; a name alone counts once."""
    name, equals, weight = given.rpartition("=")
    if not equals:
        return given, 1.0
    try:
        return name, float(weight)
    except ValueError:
        raise ValueError(f"--reward-column takes NAME or NAME=WEIGHT, got {given!r:.80}") from None


def _print(report: Report) -> None:
    """What was kept, and what was left out."""
    screen, table = console(), Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in report.facts().items():
        if name != "skipped":
            table.add_row(name, escape(str(value) if isinstance(value, str) else f"{value:,}"))
    screen.print(table)
    for kind, one in report.skipped.items():
        screen.print(f"left out: {one['count']:,} for {kind} (the first: {one['first']})", markup=False, soft_wrap=True)
