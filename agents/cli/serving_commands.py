"""The commands ``serve`` and ``merge``: serve a trained agent, or write it as one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.arguments import SetOptions, decoding_from, decoding_in_words, decoding_of
from agents.cli.next_steps import after_merge, show_next
from agents.cli.show import console
from datasets_builders.hub import local


@dataclass
class Serve:
    """Serves a trained agent with its values to any OpenAI client.

    It supports chat completions, completions and streams. A request may set the decoding with the names of --set, in
    the client's `extra_body`. A `temperature` of 0 is greedy.

    Examples:
        lang-envs serve runs/ilql
        lang-envs serve runs/ilql --port 8001 --name reviewer --set greedy=false advantage_weight=4
        curl http://127.0.0.1:8000/v1/completions -d '{"model": "ilql", "prompt": "review :", "advantage_weight": 8}'
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of a run or of a saved agent, or hub:owner/name"""
    port: int = 8000
    """port to listen on; 0 takes a free one"""
    host: str = "127.0.0.1"
    """address to listen on; by default only this machine can connect"""
    name: str | None = None
    """name of the model in requests; by default the name of the folder"""
    options: SetOptions = ()
    """decoding of requests that do not set it, as NAME=VALUE; by default as in eval"""

    def __call__(self) -> None:
        """Answers until it is interrupted."""
        from agents.runs.config import name_of
        from agents.runs.run import load
        from agents.serving.run import run_server

        agent = load(local(self.run, "agent"))
        decoding, name = decoding_of(agent, self.options), self.name or name_of(self.run)
        told = f"{decoding_in_words(decoding)} ({decoding_from(agent, self.options)})"

        def ready(address: str) -> None:
            console().print(
                escape(f"{agent.name} is the model {name!r} at {address}/v1, decoded by {told}. Ctrl-C ends it."),
                soft_wrap=True,
            )
            show_next(console(), ("curl", f"{address}/v1/models"))

        run_server(agent, name, decoding, self.host, self.port, ready)


@dataclass
class Merge:
    """Writes a trained agent as one folder, with adapters merged into the weights.

    Without values the result is a plain language model that any server loads. With values it is an agent: `lang-envs
    distil` puts the values into a plain language model, and --plain omits them.

    Examples:
        lang-envs merge runs/chats --out models/chats
        lang-envs merge runs/ilql --out models/imitation --plain
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of a run or of a saved agent, or hub:owner/name"""
    out: Path
    """folder to write"""
    plain: bool = False
    """write only the language model, as a folder of the transformers library"""

    def __call__(self) -> None:
        """Prints where it is."""
        from agents.distil import language_model_of, own_decoding
        from agents.runs.card import plain_card
        from agents.runs.config import name_of
        from agents.runs.distilling import write_plain
        from agents.runs.run import load

        run = local(self.run, "agent")
        agent = load(run)
        if self.plain:
            if self.out.exists() and any(self.out.iterdir()):
                raise ValueError(f"{self.out} is not empty. Choose another folder.")
            card = plain_card(agent.name, self.out.name, {"agent": name_of(self.run)})
            write_plain(language_model_of(agent), self.out, own_decoding(decoding_of(agent, ())), card)
        else:
            agent.save(self.out, merge=True)
        console().print(f"The model is at {escape(str(self.out))}", soft_wrap=True)
        show_next(console(), *after_merge(run, self.out, self.plain))
