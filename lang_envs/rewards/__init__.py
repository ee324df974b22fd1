"""Rewards of texts: similarities to a reference, and classifiers.

A similarity is a callable ``(candidates, references) -> array [n]``, a classifier ``(texts) -> array [n]``. torch and
transformers are imported when a model is first loaded.
"""
