"""What every agent is: a model, a loss over logged or live episodes, and a policy to play with."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

import torch
from transformers import PreTrainedModel

from agents.algorithms import AGENTS
from agents.data.batch import Batch
from agents.data.log_facts import returns_of
from agents.data.source import Source
from agents.distributed.parallel import plain_model
from agents.distributed.processes import is_first
from agents.models.lm import LM, speak_by
from agents.models.lora import checksum
from agents.models.precision import precision_of
from agents.models.value_lm import ValueLM, ValueLMConfig
from agents.runs.pushed import agent_files
from agents.saved import (
    DESCRIPTION,
    FORMAT_VERSION,
    Description,
    opening,
    read_description,
    read_lm,
    read_reference,
    write_agent,
)
from agents.training.fit import fit
from agents.training.fit_config import FitConfig
from agents.training.update import update
from datasets_builders.fields import check_types, typed
from datasets_builders.folders import read_whole
from datasets_builders.hub import local, send
from lang_envs.plugins import asked, find

if TYPE_CHECKING:
    from lang_envs.pretrained import Precision
    from lang_envs.rollout import Policy


class Agent:
    """The parent of every algorithm, which adds a ``loss`` and, where it needs to, the other steps below.

    Args:
        lm: the language model to start from; it is trained in place.
        config: the algorithm's settings; its defaults where None. Fields ``ValueLMConfig`` has too go to the model.
        seed: of the value heads' first weights, where there are any.

    Attributes:
        model: what is trained: the language model, or a ``ValueLM`` around it where the algorithm ``needs_values``.
        step: optimiser steps made so far, over all calls of ``learn``.
        decoding: arguments of ``policy`` that were chosen for it (``agents.evaluation.decoding_choice``), or None. They
            are saved, and ``generate`` of the saved model goes by them; training and ``policy()`` do not.
        adapted: checksum of the weights below adapters, where there are any.
        reference: a frozen copy of the language model as it was when training began, for algorithms that look back.
        parallel: computes the loss in training, ``parallel(agent.loss, batch)``; see ``agents.distributed.parallel``.
    """

    name: ClassVar[str]
    """what the algorithm is called, as in ``AGENTS``"""
    needs_values: ClassVar[bool] = False
    """whether the model has value heads"""
    model_settings: ClassVar[dict[str, Any]] = {}
    """fields of ``ValueLMConfig`` that the algorithm decides and its configuration does not"""
    usual_decoding: ClassVar[dict[str, Any]] = {"greedy": True}
    """arguments of ``policy`` it is evaluated with where nothing else is asked for"""
    dropout: ClassVar[bool] = True
    """whether training draws dropout where ``FitConfig.dropout`` does not say: not where an algorithm compares one pass
    of the model with another, be it an earlier one, a reference's, or that of its own targets"""
    config: Any
    """settings; an algorithm annotates its own dataclass here"""

    def __init__(self, lm: LM, config: Any = None, seed: int = 0) -> None:
        expected = get_type_hints(type(self))["config"]
        if config is None:
            config = expected()
        if not isinstance(config, expected):
            raise TypeError(f"{type(self).__name__} is configured by {expected.__name__}, not {type(config).__name__}.")
        check_types(config)
        self.lm, self.config, self.step = lm, config, 0
        self.fit_config: FitConfig | None = None
        self.decoding: dict[str, Any] | None = None
        self.parallel: torch.nn.Module | None = None
        self.reference: PreTrainedModel | None = None
        # Any: PreTrainedModel's attributes are not typed, and the two kinds of model have different ones
        self.model: Any = self._build(lm.model, seed).eval()
        speak_by(self.model, lm.tokenizer)  # anew, where the vocabulary has grown
        self.adapted = None if lm.lora is None else checksum(self.model)

    def _build(self, model: PreTrainedModel, seed: int) -> PreTrainedModel:
        if self.needs_values:
            chosen = {f.name: getattr(self.config, f.name) for f in dataclasses.fields(self.config)}
            settings = {k: v for k, v in (chosen | self.model_settings).items() if k in ValueLMConfig.__annotations__}
            if isinstance(model, ValueLM):
                self._check_heads(model.config, settings)
                for name, value in self.model_settings.items():
                    setattr(model.config, name, value)
            else:
                model = ValueLM.around(model, seed, **settings)
            if settings.get("q_head", "") is None:
                self.config = dataclasses.replace(self.config, q_head=model.config.q_head)
        elif isinstance(model, ValueLM):
            raise ValueError(
                f"{type(self).__name__} trains a plain language model, but got one with value heads. "
                "Pass the language model the values were built around."
            )
        return model

    def _check_heads(self, has: Any, settings: dict[str, Any]) -> None:
        """Refuses values that were built in another way than this algorithm's are; those that fit it goes on with."""
        built = ("num_q", "trunks", "q_head", "q_rank")
        wrong = [n for n in built if settings.get(n) is not None and getattr(has, n) != settings[n]]
        if "q_rank" in wrong and has.q_head != "low_rank":
            wrong.remove("q_rank")
        if wrong:
            told = ", ".join(f"{name}={getattr(has, name)!r} where {settings[name]!r} is asked for" for name in wrong)
            raise ValueError(
                f"The model has values already, with {told}. Configure {type(self).__name__} as they are, or pass the "
                "language model they were built around."
            )

    def prepare(self, source: Source) -> Source:
        """The part of ``source`` to learn from; all of it by default. Values start from its returns."""
        if self.needs_values:
            self.model.start_values(*returns_of(source))
        return source

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch, and its parts to look at, detached.

        Both must be means over real actions, as ``batch.mean`` computes: accumulation puts parts of a batch together by
        their numbers of actions.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss: an algorithm overrides Agent.loss.")

    @property
    def needs_returns(self) -> bool:
        """Whether it learns from what logged episodes are worth; where not, a log without rewards will do."""
        return True

    @property
    def values_tokens(self) -> bool:
        """Whether it has values of tokens; those of whole utterances, and none, are the other kinds."""
        return self.needs_values and self.model.config.values_tokens

    @property
    def language_model(self) -> Any:
        """The language model, without the values where there are any."""
        return self.model.lm if self.needs_values else self.model

    @property
    def network(self) -> torch.nn.Module:
        """What is trained and kept in checkpoints: the model, and what an algorithm learns or remembers beside it."""
        return self.model

    def update(
        self, source: Source, optimizer: torch.optim.Optimizer, step: int, total: int
    ) -> dict[str, torch.Tensor]:
        """Step ``step`` of ``total``, from 1: samples a batch and follows the gradient of ``loss`` -> metrics.

        An algorithm whose steps are more than that overrides it; the loop has set the learning rate.
        """
        assert self.fit_config is not None  # set by the loop
        return update(self, source, optimizer, self.fit_config, step)

    def before_loss(self, batch: Batch) -> None:
        """Called with a batch, without gradients, before its loss is computed in parts: for what it takes all of."""

    def after_step(self, step: int) -> None:
        """Called after every optimiser step with the number of steps made so far."""
        self.step = step

    def learn(self, source: Source, steps: int, **settings: Any) -> Self:
        """Makes ``steps`` optimiser steps on episodes from ``source``.

        ``settings`` are the fields of ``FitConfig``. With ``out`` the call continues from the newest checkpoint there
        and ``steps`` counts those already made. See ``fit`` for a loop of your own over the metrics.
        """
        for _ in fit(self, source, steps, FitConfig(**settings)):
            pass
        return self

    def policy(self, **decoding: Any) -> Policy:
        """A policy that plays with the model as it is then; ``decoding`` are the keywords of ``LMPolicy``.

        How much a ``ValueLM`` listens to its values is a setting of the model: ``agent.model.config.advantage_weight``.
        Where a decoding was chosen, as ``lang-envs train`` does, ``agent.policy(**agent.decoding)`` speaks by it.
        """
        from agents.decoding.policy import LMPolicy

        return LMPolicy(self.model, self.lm.tokenizer, self.lm.end_id, self.lm.max_utterance_tokens, **decoding)

    def save(self, folder: str | Path, merge: bool = False) -> Path:
        """Writes a folder that ``Agent.load`` opens, and but for adapters transformers' ``AutoModelForCausalLM`` too.

        Of an agent with adapters it holds those alone, with value heads and the name of the model below, which must be
        where it was to open it (``agents.models.adapter_files``). With ``merge`` they are added to the weights: the
        folder is whole, and opens without peft. So it is, too, where the model below has no name to go back to: one
        that was made in memory, or another agent's.

        An agent saved there before is replaced once the new one is whole; ``load`` finds one of the two at every
        instant. Two processes that save to one folder take turns. Of several processes the first one writes; in the
        middle of training with ``FitConfig.shard`` all must call it.

        Args:
            folder: is made; it may hold an agent.
            merge: whether adapters become part of the weights.

        Raises:
            OSError: the disk is full, or the folder was deleted meanwhile.
            ValueError: if the folder holds anything else.
        """
        model = plain_model(self)
        if is_first():
            write_agent(Path(folder), self._description(), self.lm, model, self.reference, merge)
        return Path(folder)

    def push_to_hub(self, name: str, private: bool = False, license: str | None = None) -> str:
        """Saves the agent and sends it to the hub, where "hub:owner/name" opens it -> its address.

        Args:
            name: "owner/name".
            private: whether nobody else may see a repository that is made for it.
            license: of the weights, for the card.

        Raises:
            OSError: offline, or the hub refuses.
            ValueError: its adapters are on a model that only this machine has.
        """
        with TemporaryDirectory() as made:
            folder = self.save(Path(made) / name.rpartition("/")[2])
            with agent_files(folder, license) as files:
                return send(files, name, "agent", private)

    def _description(self) -> Description:
        return Description(
            format_version=FORMAT_VERSION,
            algorithm=self.name,
            config=dataclasses.asdict(self.config),
            step=self.step,
            max_utterance_tokens=self.lm.max_utterance_tokens,
            lora=None if self.lm.lora is None else dataclasses.asdict(self.lm.lora),
            fit=None if self.fit_config is None else self.fit_config.to_dict(),
            decoding=self.decoding,
            dtype=precision_of(self.model),
            versions={package: version(package) for package in ("torch", "transformers", "numpy")},
            home=_home_of(type(self)),
        )

    @classmethod
    def load(cls, folder: str | Path, dtype: Precision | None = None) -> Self:
        """Opens a saved agent: of its own class from ``Agent``, of the class it is called on otherwise.

        One that was saved with its adapters has them as they were. One whose adapters were added to its weights gets
        new ones, which change nothing yet, to go on training in the same way.

        Args:
            folder: of a saved agent, or "hub:owner/name", which is fetched.
            dtype: of its weights, "fp32" or "bf16"; None: as it was trained.

        Raises:
            ValueError: if there is no agent, one of another algorithm or format, or one whose files are not what was
                written; naming the file.
        """
        return read_whole(local(folder, "agent"), lambda found: cls._load(found, dtype))

    @classmethod
    def _load(cls, folder: Path, dtype: Precision | None) -> Any:
        saved = read_description(folder)
        with opening(folder):
            agent_class = cls if cls is not Agent else _class_of(saved, folder)
        if agent_class.name != saved.algorithm:
            raise ValueError(f"{folder} holds {saved.algorithm!r}, not {cls.name!r}. Open it with Agent.load.")
        with opening(folder):
            dtype = dtype or saved.dtype
            lm, file = read_lm(folder, saved, dtype), folder / DESCRIPTION
            if isinstance(lm.model, ValueLM) != agent_class.needs_values:
                raise ValueError(f"the model is a {type(lm.model).__name__}, and none of {saved.algorithm!r}.")
            spoke = {name: getattr(lm.model.config, name) for name in agent_class.model_settings}
            agent = agent_class(lm, typed(get_type_hints(agent_class)["config"], saved.config, file))
            for name, value in spoke.items():  # settings that are the algorithm's by default, as they were saved
                setattr(agent.model.config, name, value)
            agent.step, agent.decoding = saved.step, saved.decoding
            agent.reference = read_reference(folder, agent.language_model, dtype)
            if agent.reference is not None:
                speak_by(agent.reference, lm.tokenizer)
            agent.fit_config = None if saved.fit is None else typed(FitConfig, saved.fit, file)
        return agent


def _home_of(kind: type[Agent]) -> str:
    """Where the class is, as "module:Class"; empty for the algorithms of this package."""
    return "" if kind.__module__.startswith("agents.") else f"{kind.__module__}:{kind.__qualname__}"


def _class_of(saved: Description, folder: Path) -> type[Agent]:
    """The class of a saved agent; a module of others is not imported because the folder names it."""
    known = AGENTS.get(saved.algorithm)
    if known is not None and _home_of(known) == saved.home:
        return agent_class(saved.algorithm)
    return agent_class(asked(saved.home, folder / DESCRIPTION) if saved.home else saved.algorithm)


def agent_class(name: str) -> type[Agent]:
    """The algorithm of that name: one of ``AGENTS``, or of an installed package, or at "module:Class".

    Raises:
        ValueError: there is none.
    """
    return find("agents", name, AGENTS, "agent", lambda found: isinstance(found, type) and issubclass(found, Agent))
