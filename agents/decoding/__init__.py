"""Decoding: sampling tokens, beam search, and ranking candidates."""
