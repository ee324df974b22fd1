"""The kinds of input that are fuzzed."""

import actions
import agent_folders
import arguments
import corpora
import data_sets
import imports
import logs
import suites

KINDS = (
    actions.KIND,
    data_sets.KIND,
    agent_folders.KIND,
    corpora.KIND,
    imports.KIND,
    logs.KIND,
    suites.KIND,
    arguments.KIND,
)
