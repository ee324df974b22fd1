"""Facts about the logged part of a source: its returns, and checks whether an agent can be trained on it."""

from __future__ import annotations

from agents.data.source import Around, Logged, Mixed, Source


def returns_of(source: Source) -> tuple[float, float]:
    """Mean and standard deviation of the logged returns; 0 and 1 without a log.

    The second number is always above 0: if all returns are equal, it is their absolute value, or 1 if they are 0.
    """
    if (logged := logged_of(source)) is None:
        return 0.0, 1.0
    mean, deviation = float(logged.data.returns.mean()), float(logged.data.returns.std())
    return mean, deviation if deviation > 1e-6 * abs(mean) else abs(mean) or 1.0


def logged_of(source: Source) -> Logged | None:
    """The logged source inside a source; None if all its episodes are live."""
    if isinstance(source, Around):
        return logged_of(source.source)
    if isinstance(source, Mixed):
        return logged_of(source.logged)
    return source if isinstance(source, Logged) else None


def check_rewarded(source: Source, agent: str) -> None:
    """Checks that an imported log has rewards, and returns that are not all equal.

    Args:
        source: the source of the training.
        agent: the name of the algorithm, which learns from returns.

    Raises:
        ValueError: the log has no rewards, or equal returns.
    """
    if (logged := logged_of(source)) is None:
        return
    parts = logged.data.provenance.get("merged", [logged.data.provenance])
    if any(part.get("rewards") == "none" for part in parts):
        raise ValueError(
            f"The log was imported without rewards, and {agent} learns from them. Import it again with --reward-column "
            "or --reward, or take bc, which imitates."
        )
    low, high = float(logged.data.returns.min()), float(logged.data.returns.max())
    if low == high and all("import" in part for part in parts):
        raise ValueError(
            f"All episodes of the imported log have the return {low:g}, and {agent} learns from their differences. "
            "Import it with another --reward-column or with --reward, or take bc, which imitates."
        )


def check_lengths(source: Source, most: int | None) -> None:
    """Checks that logged episodes fit into a model's context.

    Args:
        source: the source of the training.
        most: the model's context in tokens; None: no limit.

    Raises:
        ValueError: an episode is longer.
    """
    logged = logged_of(source)
    if logged is not None and most is not None and (longest := int(logged.data.lengths.max())) > most:
        raise ValueError(
            f"An episode of the log has {longest} tokens, and the model reads {most}. Record or import the log with "
            "shorter episodes (lang-envs import --max-tokens), or take a model that reads more."
        )
