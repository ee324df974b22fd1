"""Reads a suite from a file, and checks that every field is there and has the right type."""

from __future__ import annotations

from typing import Any, TypeVar

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, ExactLearner, Experiment, Samples, Suite
from datasets_builders.fields import typed

T = TypeVar("T")
_LISTS = ("measures", "compare_taus", "normalise")


def suite_of_plain(plain: dict[str, Any]) -> Suite:
    """The suite that ``plain`` describes, as ``Suite.plain`` does.

    Raises:
        ValueError: ``plain`` is no suite; the error names the experiment and the part that is wrong.
    """
    where = "the configuration of a benchmark"
    experiments = tuple(_experiment(e) for e in _list(plain, "experiments", where))
    return typed(Suite, {**plain, "experiments": experiments}, where)


def _experiment(plain: Any) -> Experiment:
    where = f"the experiment {_object(plain, 'an experiment').get('name')!r}"
    made: dict[str, Any] = {
        "cells": tuple(_cell(cell, where) for cell in _list(plain, "cells", where)),
        "data": _part(Data, plain.get("data"), f"{where}, data"),
    }
    if plain.get("held_out") is not None:
        made["held_out"] = _part(Data, plain["held_out"], f"{where}, held_out")
    for name, kind in (("baselines", Baseline), ("elsewhere", Elsewhere)):
        made[name] = tuple(_labelled(kind, part, where) for part in _list(plain, name, where))
    made["exact"] = tuple(_exact(part, where) for part in _list({"exact": [], **plain}, "exact", where))
    return typed(Experiment, {**plain, **_tuples(plain), **made}, where)


def _cell(plain: Any, experiment: str) -> Cell:
    logs = _object(plain, f"{experiment}, a cell").get("data")
    where = f"{experiment}, the cell {plain.get('label')!r}"
    kind = Samples if isinstance(logs, dict) and "of" in logs else Data
    made = {} if logs is None else {"data": _part(kind, logs, f"{where}, data")}
    return typed(Cell, {**plain, **made, "decodings": tuple(_list(plain, "decodings", where))}, where)


def _exact(plain: Any, experiment: str) -> ExactLearner:
    where = f"{experiment}, exact learner {_object(plain, f'{experiment}, exact learner').get('label')!r}"
    grids = {name: tuple(plain[name]) for name in ("weights", "top_p") if isinstance(plain.get(name), list)}
    return typed(ExactLearner, {**plain, **grids}, where)


def _labelled(kind: type[T], plain: Any, experiment: str) -> T:
    what = kind.__name__.lower()
    where = f"{experiment}, {what} {_object(plain, f'{experiment}, {what}').get('label')!r}"
    return typed(kind, {**plain, **_tuples(plain)}, where)


def _tuples(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(plain[name]) for name in _LISTS if isinstance(plain.get(name), list)}


def _part(kind: type[T], plain: Any, where: str) -> T:
    return typed(kind, _object(plain, where), where)


def _object(plain: Any, where: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise ValueError(f"{where}: expected an object with its settings, got {repr(plain)[:80]}.")
    return plain


def _list(plain: dict[str, Any], name: str, where: str) -> list[Any]:
    if not isinstance(found := plain.get(name), list | tuple):
        raise ValueError(f"{where}: expected a list of {name}, got {repr(found)[:80]}.")
    return list(found)
