"""Imports logs as data sets: reads their rows, recognises their layout, and tokenizes their conversations."""
