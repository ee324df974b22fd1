"""What a text earns: similarity to a reference, or a classifier's verdict.

A similarity is a callable ``(candidates, references) -> array [n]``, a classifier ``(texts) -> array [n]``. torch and
transformers are imported when a model is first loaded.
"""
