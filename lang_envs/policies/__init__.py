"""Policies that are not learned: scripted players, a person, and models behind a server."""
