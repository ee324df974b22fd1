"""Data sets of episodes: recorded from any policy, crash-safe, small on disk, read in place."""

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.recipes import RECIPES, Recipe, build, episodes_of
from datasets_builders.record_episodes import RecordEpisodes
from datasets_builders.recorder import record, write_blocks
from datasets_builders.storage import DatasetError

__all__ = [
    "RECIPES",
    "DatasetError",
    "EpisodeDataset",
    "Recipe",
    "RecordEpisodes",
    "build",
    "episodes_of",
    "record",
    "write_blocks",
]
