"""``Agent``, the parent of all algorithms: a model, a loss over logged or live episodes, and a policy."""

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
    """The parent of every algorithm. An algorithm overrides ``loss`` and, if needed, the other methods below.

    Args:
        lm: the language model to start from; it is trained in place.
        config: the algorithm's settings; None: its defaults. Fields that ``ValueLMConfig`` has too are passed to it.
        seed: seed of the value heads' initial weights.

    Attributes:
        model: the model that is trained: the language model, or a ``ValueLM`` around it if ``needs_values``.
        step: optimiser steps made so far, over all calls of ``learn``.
        decoding: arguments of ``policy`` that were chosen after training (``agents.evaluation.decoding_choice``), or
            None. They are saved, and ``generate`` of the saved model uses them; training and ``policy()`` do not.
        adapted: checksum of the frozen weights under adapters, or None without adapters.
        reference: a frozen copy of the language model from before training, for algorithms that need one, or None.
        parallel: computes the loss in training, ``parallel(agent.loss, batch)``; see ``agents.distributed.parallel``.

    Raises:
        TypeError: ``config`` is not of the algorithm's configuration class.
        ValueError: a setting has the wrong type, or the model's value heads do not fit the algorithm.
    """

    name: ClassVar[str]
    """the algorithm's name, as in ``AGENTS``"""
    needs_values: ClassVar[bool] = False
    """whether the model has value heads"""
    model_settings: ClassVar[dict[str, Any]] = {}
    """fields of ``ValueLMConfig`` that the algorithm sets and its configuration lacks"""
    usual_decoding: ClassVar[dict[str, Any]] = {"greedy": True}
    """arguments of ``policy`` with which the agent is evaluated by default"""
    dropout: ClassVar[bool] = True
    """whether training uses dropout if ``FitConfig.dropout`` is None. It is False if the algorithm compares two passes,
    such as those of the model and of an earlier model, a reference, or its own targets"""
    config: Any
    """settings; every algorithm annotates its own dataclass"""

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
        speak_by(self.model, lm.tokenizer)  # again, because ``_build`` may have added tokens or a ``ValueLM``
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
        """Checks that the heads of a ``ValueLM`` have this algorithm's settings, so that it can train them further."""
        built = ("num_q", "trunks", "q_head", "q_rank")
        wrong = [n for n in built if settings.get(n) is not None and getattr(has, n) != settings[n]]
        if "q_rank" in wrong and has.q_head != "low_rank":
            wrong.remove("q_rank")
        if wrong:
            told = ", ".join(f"{name}={getattr(has, name)!r} instead of {settings[name]!r}" for name in wrong)
            raise ValueError(
                f"The model already has value heads, with {told}. Give {type(self).__name__} the settings of these "
                "heads, or pass the language model they were built around."
            )

    def prepare(self, source: Source) -> Source:
        """The source to train on; by default ``source``. Sets the initial values from its logged returns."""
        if self.needs_values:
            self.model.start_values(*returns_of(source))
        return source

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch, a scalar, and the metrics to log, detached scalars.

        All must be means over real actions, as ``batch.mean`` computes them: ``FitConfig.accumulate`` weights the parts
        of a batch by their numbers of actions.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss: an algorithm overrides Agent.loss.")

    @property
    def needs_returns(self) -> bool:
        """Whether the algorithm learns from returns; if not, it accepts a log without rewards."""
        return True

    @property
    def values_tokens(self) -> bool:
        """Whether the agent has a value for every token; otherwise it has values of utterances or states, or none."""
        return self.needs_values and self.model.config.values_tokens

    @property
    def language_model(self) -> Any:
        """The language model, without value heads."""
        return self.model.lm if self.needs_values else self.model

    @property
    def network(self) -> torch.nn.Module:
        """The module that is trained and saved in checkpoints; algorithms may add other modules to the model."""
        return self.model

    def update(
        self, source: Source, optimizer: torch.optim.Optimizer, step: int, total: int
    ) -> dict[str, torch.Tensor]:
        """Makes optimiser step ``step`` (from 1) of ``total``: samples a batch and follows the gradient of ``loss``.

        An algorithm whose steps do more overrides it. The training loop has set the learning rate.

        Returns:
            The metrics, scalars.
        """
        assert self.fit_config is not None  # set by the loop
        return update(self, source, optimizer, self.fit_config, step)

    def before_loss(self, batch: Batch) -> None:
        """Called with a whole batch, without gradients, before the loss of its parts, for statistics of the batch."""

    def after_step(self, step: int) -> None:
        """Called after every optimiser step with the number of steps made so far."""
        self.step = step

    def learn(self, source: Source, steps: int, **settings: Any) -> Self:
        """Makes ``steps`` optimiser steps on episodes from ``source``.

        ``settings`` are the fields of ``FitConfig``. With ``out`` the call continues from the newest checkpoint there,
        and ``steps`` includes the steps already made. To see the metrics during training, call ``fit``.
        """
        for _ in fit(self, source, steps, FitConfig(**settings)):
            pass
        return self

    def policy(self, **decoding: Any) -> Policy:
        """A policy that plays with the model's weights at each moment; ``decoding`` are keywords of ``LMPolicy``.

        The weight of a ``ValueLM``'s advantages is a setting of the model: ``agent.model.config.advantage_weight``. If
        a decoding was chosen, as ``lang-envs train`` does, ``agent.policy(**agent.decoding)`` uses it.
        """
        from agents.decoding.policy import LMPolicy

        return LMPolicy(self.model, self.lm.tokenizer, self.lm.end_id, self.lm.max_utterance_tokens, **decoding)

    def save(self, folder: str | Path, merge: bool = False) -> Path:
        """Writes a folder that ``Agent.load`` opens. Without adapters, transformers' ``AutoModelForCausalLM`` does too.

        For an agent with adapters, the folder holds only the adapters, the value heads and the source of the base
        model, which must stay where it is (``agents.models.adapter_files``). With ``merge`` the adapters are added to
        the weights: the folder holds the whole model, and opens without peft. The same is done if the base model was
        made in memory or is another agent's, because it could not be opened again.

        A new agent replaces one that was saved there before in one step, so that ``load`` always finds one of the two.
        Two processes that save to one folder wait for each other. If several processes train, only the first writes;
        during training with ``FitConfig.shard`` all must call this method.

        Args:
            folder: the folder to create, or to replace if it holds an agent.
            merge: whether adapters are added to the weights.

        Returns:
            The folder.

        Raises:
            OSError: the disk is full, or the folder was deleted meanwhile.
            ValueError: the folder holds something else than an agent.
        """
        model = plain_model(self)
        if is_first():
            write_agent(Path(folder), self._description(), self.lm, model, self.reference, merge)
        return Path(folder)

    def push_to_hub(self, name: str, private: bool = False, license: str | None = None) -> str:
        """Saves the agent and sends it to the Hugging Face hub, from where "hub:owner/name" opens it.

        Args:
            name: "owner/name".
            private: whether a new repository is private.
            license: license of the weights, for the card.

        Returns:
            The agent's address on the hub.

        Raises:
            OSError: there is no connection, or the hub refuses.
            ValueError: the base model of the agent's adapters is only on this machine.
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
        """Opens a saved agent. ``Agent.load`` opens any algorithm's, a subclass only its own.

        An agent that was saved with adapters has the same adapters again. If they were merged into its weights, it gets
        new adapters that do not change its distribution, so that it can be trained further with adapters.

        Args:
            folder: folder of a saved agent, or "hub:owner/name", which is downloaded.
            dtype: precision of its weights, "fp32" or "bf16"; None: as it was trained.

        Raises:
            ValueError: the folder holds no agent, or one of another algorithm or format, or damaged files.
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
                raise ValueError(f"the model is a {type(lm.model).__name__}, which {saved.algorithm!r} cannot use.")
            spoke = {name: getattr(lm.model.config, name) for name in agent_class.model_settings}
            agent = agent_class(lm, typed(get_type_hints(agent_class)["config"], saved.config, file))
            for name, value in spoke.items():  # ``_build`` has reset these to the algorithm's defaults
                setattr(agent.model.config, name, value)
            agent.step, agent.decoding = saved.step, saved.decoding
            agent.reference = read_reference(folder, agent.language_model, dtype)
            if agent.reference is not None:
                speak_by(agent.reference, lm.tokenizer)
            agent.fit_config = None if saved.fit is None else typed(FitConfig, saved.fit, file)
        return agent


def _home_of(kind: type[Agent]) -> str:
    """The place of a class as "module:Class"; empty for the algorithms of this package."""
    return "" if kind.__module__.startswith("agents.") else f"{kind.__module__}:{kind.__qualname__}"


def _class_of(saved: Description, folder: Path) -> type[Agent]:
    """The class of a saved agent. A module that is not of this package is not imported because the folder names it."""
    known = AGENTS.get(saved.algorithm)
    if known is not None and _home_of(known) == saved.home:
        return agent_class(saved.algorithm)
    return agent_class(asked(saved.home, folder / DESCRIPTION) if saved.home else saved.algorithm)


def agent_class(name: str) -> type[Agent]:
    """The algorithm of a name: from ``AGENTS``, from an installed package, or at "module:Class".

    Raises:
        ValueError: there is none.
    """
    return find("agents", name, AGENTS, "agent", lambda found: isinstance(found, type) and issubclass(found, Agent))
