"""Decision Transformer for language: imitates conditioned on the return, and acts conditioned on the best return.

    L = -log pi(a_i | s_i, c)                 mean over the agent's tokens; c says what return followed, and has no loss

``form="tokens"`` (Chen et al. 2021, arXiv:2106.01345; for dialogue Sodhi et al. 2023, arXiv:2307.12425): a token before
each utterance of the agent stands for the bin of its return. There are at most ``bins`` bins. The tokens are embeddings
after the environment's vocabulary, whose tokens keep their ids, and no policy can say them. ``returns`` chooses the
return:

    episode   of the whole episode, the same before each of its utterances
    to_go     of the rewards from the utterance on, as in the original

A policy sees no rewards, so it conditions each turn on the same bin. If each turn costs something, only late turns have
the best bin of "to_go"; "episode" avoids this problem. Bins are quantiles of the log's distinct returns. If there are
few, each gets its own bin. The first log that is learned from fixes the bins.

The two bins of Sodhi et al. are ``edges=(1.0,)``: REWARD_ONE from 1 on, REWARD_ZERO below. If the observation itself
contains turns of an agent (``Markup.prompt`` of ``lang_envs.markup`` opens them), the best bin's token stands before
those turns, as in their code. There each utterance is a separate example. Here all utterances of an episode are read at
once, each with its own bin.

``form="prefix"`` is the ablation of Snell et al. 2023 (arXiv:2206.11871): one embedding w R + b of the total return R
stands before the episode, and R is a constant in decoding. w and b are two rows of the embeddings. They start with the
scale of the other rows, not with that of a linear layer.

With adapters (``agents.models.lora``), the embeddings for returns and new positions are fully trained. The embeddings
of the environment's tokens, and a head that is tied to them, are not trained.

Inserted tokens take positions. Models with a table of positions (GPT-2) get a second table of the same length, which is
always enough. Other models must be able to read the episode and the inserted tokens. ``AutoModelForCausalLM`` opens a
saved agent; a prompt for it ends with ``agent.token_of(target)``.

Metrics: ``loss/bc`` is L; with tokens ``policy/best`` is the share of the agent's tokens in the best bin.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from agents.agent import Agent
from agents.data.batch import Batch, collate
from agents.data.contexts import pieces
from agents.data.return_tokens import Prefixed, PrefixTable, Prompted, begins, grow, insert, prompts
from agents.data.source import Logged, Mixed, Source
from agents.decoding.policy import LMPolicy
from agents.models.extended_embedding import ExtendedEmbedding, split
from agents.models.token_scores import token_logprobs
from datasets_builders.fields import check_types
from lang_envs.markup import markup_of
from lang_envs.rollout import Policy
from lang_envs.tokenizers import vocabulary_size


@dataclass
class DecisionTransformerConfig:
    """Settings of the Decision Transformer."""

    form: Literal["tokens", "prefix"] = "tokens"
    """a token before each utterance, or one embedding of the return before the episode"""
    bins: int = 10
    """largest number of bins of the log's returns; only with tokens and without ``edges``"""
    edges: tuple[float, ...] | None = None
    """lower edges of all bins but the lowest, in rising order; None takes them from the log, and without a log they are
    required. Only with tokens"""
    returns: Literal["episode", "to_go"] = "episode"
    """return of a token: that of the whole episode, or of the rest of it from the utterance on"""
    target: float | None = None
    """return to condition on in play; None takes the best bin, or with a prefix the log's best return"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_types(self)
        if self.bins < 2:
            raise ValueError(f"bins must be at least 2, not {self.bins}: one bin says nothing.")
        if self.form == "prefix" and (self.edges is not None or self.returns != "episode"):
            raise ValueError("A prefix is the return of the whole episode, without bins: leave edges and returns.")
        if self.edges is not None:
            self.edges = tuple(self.edges)  # JSON has no tuples
            if not self.edges or not (np.diff(self.edges) > 0).all() or not np.isfinite(self.edges).all():
                raise ValueError(f"edges must be finite numbers that rise, at least one; got {self.edges}.")


class DecisionTransformer(Agent):
    """Behaviour cloning conditioned on returns.

    The equations are in ``help("agents.decision_transformer")`` (Chen et al. 2021, arXiv:2106.01345; Sodhi et al. 2023,
    arXiv:2307.12425).
    """

    name = "decision_transformer"
    config: DecisionTransformerConfig
    first_token: int
    """the first one behind the environment's vocabulary: the lowest bin's, or w of the prefix"""

    def _build(self, model: PreTrainedModel, seed: int) -> PreTrainedModel:
        """Adds the embeddings for returns, where the model is not one of a saved agent and has them.

        Raises:
            ValueError: the model has value heads, or another vocabulary.
        """
        model, c = super()._build(model, seed), self.config
        markup = markup_of(self.lm.tokenizer)
        self.prompt = [] if markup is None else markup.prompt  # an agent speaks behind these tokens
        tokens = self.first_token = vocabulary_size(self.lm.tokenizer)
        have = model.config.get_text_config().vocab_size
        extra = 2 if c.form == "prefix" else c.bins if c.edges is None else len(c.edges) + 1
        frozen = not any(p.requires_grad for p in model.get_input_embeddings().parameters())  # under adapters
        if have == tokens:
            grow(model, extra, seed)
            model.config.return_edges, model.config.best_return = c.edges and list(c.edges), None
        elif have != tokens + extra or not hasattr(model.config, "return_edges"):
            raise ValueError(
                f"The model has {have} tokens, neither the environment's {tokens} nor {extra} more for returns. Build "
                "it for this environment, and open a saved agent with Agent.load."
            )
        elif c.edges and model.config.return_edges and list(c.edges) != list(model.config.return_edges):
            raise ValueError(
                f"The model has learned the bins {model.config.return_edges}, and edges={list(c.edges)} are others. "
                "Leave edges out to go on with its own, or start from a model without bins."
            )
        if frozen and not isinstance(model.get_input_embeddings(), ExtendedEmbedding):
            split(model, tokens)
        return model

    @property
    def edges(self) -> list[float]:
        """Where each bin but the lowest begins.

        Raises:
            ValueError: not known before the agent has learned from a log.
        """
        if self.model.config.return_edges is None:
            raise ValueError(
                "The bins come from logged returns, and no log was learned from yet. Learn from Logged or Mixed "
                "first, or give edges=... in the configuration."
            )
        return list(self.model.config.return_edges)

    def token_of(self, target: float | None = None) -> int:
        """The token of the bin a return lies in; that of the best bin for None."""
        edges = np.array(self.edges, np.float32)  # [bins - 1], as exact as rewards are
        return self.first_token + (len(edges) if target is None else int((edges <= np.float32(target)).sum()))

    def prepare(self, source: Source) -> Source:
        """Finds the bins, or the best return, in the log, unless they are known already.

        Raises:
            ValueError: there is no log to find them in.
        """
        c, facts, log = self.config, self.model.config, source
        if (facts.return_edges if c.form == "tokens" else facts.best_return) is not None:
            return source
        while isinstance(log, Mixed):
            log = log.logged
        if isinstance(log, Logged):
            if c.form == "prefix":
                facts.best_return = float(log.data.returns.max())
            else:
                facts.return_edges = self._edges_of(log)
        elif c.form == "tokens" or c.target is None:
            raise ValueError(
                f"What returns there are is found in a log, but the source is {type(source).__name__}. Learn from "
                f"Logged or Mixed first, or set {'edges' if c.form == 'tokens' else 'target'} in the configuration."
            )
        return source

    def _edges_of(self, log: Logged) -> list[float]:
        """Quantiles of the distinct returns of all utterances, each half way to the distinct return below."""
        distinct = np.empty(0, np.float32)
        for _, episodes in pieces(log.data):
            batch = collate(episodes, self.lm.pad_id, self.lm.end_id, self.lm.max_utterance_tokens)
            distinct = np.union1d(distinct, self._returns(batch)[begins(batch)].numpy())
        n = len(distinct)
        lowest = np.unique(np.arange(1, self.config.bins) * n // self.config.bins)  # in each bin but the first
        lowest = lowest[lowest > 0]
        return ((distinct[lowest - 1].astype(np.float64) + distinct[lowest]) / 2).tolist()

    def _returns(self, batch: Batch) -> Tensor:
        """The return that is told before each action, [B, A]."""
        to_go = batch.returns_to_go(1.0)  # [B, A]
        return to_go if self.config.returns == "to_go" else to_go[:, :1] * batch.mask  # [B, A]

    def conditioned(self, batch: Batch) -> Batch:
        """The batch with what tells of returns put in: tokens behind the environment's vocabulary."""
        before = torch.full_like(batch.input_ids, -1)  # [B, T]
        if self.config.form == "prefix":
            before[:, 0] = self.first_token
            return insert(batch, before, self.lm.pad_id)
        row, i = batch.mask.nonzero(as_tuple=True)  # [K] each
        said = torch.zeros_like(before, dtype=torch.bool)  # [B, T]
        said[row, batch.state[row, i] + 1] = True
        if self.prompt:
            opens = prompts(batch.input_ids, self.prompt) & ~said  # [B, T]
            before[:, 1:][opens[:, :-1] & (batch.attention_mask[:, 1:] > 0)] = self.token_of()
        row, i = begins(batch).nonzero(as_tuple=True)  # [U] each
        before[row, batch.state[row, i] + 1] = self._tokens(batch)[row, i]
        return insert(batch, before, self.lm.pad_id)

    def _tokens(self, batch: Batch) -> Tensor:
        """The token of each action's return, int64 [B, A]."""
        edges = torch.tensor(self.edges, dtype=torch.float32, device=batch.reward.device)
        return self.first_token + torch.bucketize(self._returns(batch), edges, right=True)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The cross-entropy of the agent's tokens, given the returns."""
        told, table = self.conditioned(batch), self.model.get_input_embeddings()
        self._check_room(told)
        if self.config.form == "prefix":
            table = PrefixTable(table, self.first_token, batch.reward.sum(1))
        embedded = table(told.input_ids)  # [B, T', d]
        hidden = self.model.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state  # [B, T', d]
        states, head = hidden.flatten(0, 1)[told.places(told.state)], self.model.get_output_embeddings()  # [K, d]
        loss = -batch.mean(token_logprobs(head, states, batch.flat(batch.action), tokens=self.first_token))
        parts = {"loss/bc": loss.detach()}
        if self.config.form == "tokens":
            parts["policy/best"] = batch.mean((self._tokens(batch) == self.token_of()).float())
        return loss, parts

    def _check_room(self, batch: Batch) -> None:
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if room is not None and batch.input_ids.shape[1] > room:
            raise ValueError(
                f"With the tokens for returns an episode has {batch.input_ids.shape[1]} tokens, and the model reads "
                f"{room}. Make the environment with a smaller max_tokens, or set form='prefix', which adds one."
            )

    def policy(self, target: float | None = None, **decoding: Any) -> Policy:
        """A policy conditioned on the return ``target``; ``decoding`` are the keywords of ``LMPolicy``.

        Raises:
            ValueError: the bins, or the best return, are not known yet.
        """
        target = self.config.target if target is None else target
        if self.config.form == "tokens":
            return Prompted(super().policy(**decoding), self.token_of(target), self.prompt, self.token_of())
        target = self.model.config.best_return if target is None else target
        if target is None:
            raise ValueError("No log was learned from, so the best return is not known: pass target=... .")
        told, lm = self._told(target), self.lm
        speaker = LMPolicy(told, lm.tokenizer, lm.end_id, lm.max_utterance_tokens, **decoding)
        return Prefixed(speaker, self.first_token)

    def _told(self, value: float) -> PreTrainedModel:
        """The model with the same weights, to which the prefix's token is the return ``value``."""
        told = copy.deepcopy(self.model, {id(p): p for p in self.model.parameters()})
        told.set_input_embeddings(PrefixTable(self.model.get_input_embeddings(), self.first_token, value))
        return told
