"""``lang-envs import``: makes a data set from a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.markup import escape
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, Positional, arg

from agents.cli.next_steps import after_data, show_next
from agents.cli.show import console

if TYPE_CHECKING:
    from datasets_builders.logs.importing import Options
    from datasets_builders.logs.report import Report

_PLAIN = ("prompt", "response", "messages", "system", "id", "policy")


@dataclass
class Import:
    """Makes a data set from a log of conversations, replies or comparisons.

    The columns determine the layout: prompt and response, OpenAI messages, ShareGPT, Alpaca, HH, UltraFeedback, pairs
    with or without scores, KTO, message trees, votes (SHP, WebGPT), token ids. The command prints the layout, the
    source of the rewards, and what was left out and why.

    Examples:
        lang-envs import chats.jsonl --out data/chats
        lang-envs import answers.csv --out data/x --prompt-column question --response-column said --reward-column stars
        lang-envs import alpaca.json --out data/x --reward my_module:score
        lang-envs import pairs.jsonl.zst --out data/x --tokenizer smollm2
        lang-envs train refit --data data/chats --out runs/chats
    """

    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE ...")]
    """log files of one layout: .csv .tsv .json .jsonl .parquet .arrow, compressed or not; the folder of a `datasets`
    split; or hub:owner/name, which is downloaded"""
    out: Path
    """folder of the data set"""
    layout: str | None = None
    """name of the layout; by default recognised from the columns"""
    prompt_column: str | None = None
    """column of the text or messages before the reply; by default recognised"""
    response_column: str | None = None
    """column of the reply; by default recognised"""
    messages_column: str | None = None
    """column of whole conversations; by default recognised"""
    system_column: str | None = None
    """column of the system message; by default recognised"""
    id_column: str | None = None
    """column of the conversation's id; by default recognised"""
    policy_column: str | None = None
    """column of the name of whoever replied; by default recognised"""
    reward_column: tuple[str, ...] = ()
    """column of the reward, or several columns with weights as NAME=WEIGHT; for pairs, the columns of the chosen and
    the rejected reply; by default recognised"""
    reward: str | None = None
    """scores replies of conversations without a rating: MODULE:FUNCTION, called with a list of prompts (messages) and a
    list of replies, returning one number per reply; or a reward model or classifier (folder or name). By default
    nothing is scored"""
    no_reward: FlagCreatePairsOff[bool] = False
    """import without rewards, for imitation only"""
    tokenizer: str | None = None
    """tokenizer of the texts: a folder, a .gguf file, or smollm2; by default the packaged one. A model learns only from
    data of its own tokenizer"""
    markup: str | None = None
    """how conversations are written as tokens: markers, chatml, plain, or a file; by default by the tokenizer's chat
    template"""
    plain: bool = False
    """read prompts as they stand, with special tokens; by default a prompt is a message of the user"""
    max_tokens: int | None = None
    """limit of tokens per episode; the oldest turns of a longer one are left out. By default 1024, or the model's
    context length if that is shorter"""
    max_utterance_tokens: int = 256
    """limit of tokens per reply"""
    longer: Literal["skip", "cut"] = "skip"
    """what happens to a reply above the limit: skip leaves its conversation out, cut shortens the reply"""
    held_out: float = 0.1
    """fraction of the conversations kept for evaluation and never trained on; conversations with the same opening stay
    together"""
    split: str = "train"
    """split of a data set of the hub"""
    strict: bool = False
    """stop at the first row that cannot be imported; by default such rows are left out and counted"""

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
        show_next(screen, *after_data(dataset, self.out, self.tokenizer))

    def _options(self, tokenizer: Any) -> Options:
        from datasets_builders.logs.importing import Options
        from datasets_builders.logs.limits import limits_for
        from datasets_builders.logs.table import Named

        columns = {kind: name for kind in _PLAIN if (name := getattr(self, f"{kind}_column")) is not None}
        named = Named(columns, tuple(map(_weighted, self.reward_column)), self.no_reward)
        limits = limits_for(tokenizer, self.tokenizer, self.max_tokens, self.max_utterance_tokens, self.longer)
        return Options(self.layout, named, self.reward, limits, self.plain, self.strict)


def _weighted(given: str) -> tuple[str, float]:
    """``helpful=0.7`` as a name and a weight; a name alone has the weight 1."""
    name, equals, weight = given.rpartition("=")
    if not equals:
        return given, 1.0
    try:
        return name, float(weight)
    except ValueError:
        raise ValueError(f"--reward-column takes NAME or NAME=WEIGHT, got {given!r:.80}") from None


def _print(report: Report) -> None:
    """Prints what was imported and what was left out."""
    screen, table = console(), Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in report.facts().items():
        if name != "skipped":
            table.add_row(name, escape(str(value) if isinstance(value, str) else f"{value:,}"))
    screen.print(table)
    for kind, one in report.skipped.items():
        screen.print(f"left out: {one['count']:,} for {kind} (the first: {one['first']})", markup=False, soft_wrap=True)
