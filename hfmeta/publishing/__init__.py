"""Checkpoint folders, cards, and the way to the hub."""

from hfmeta.publishing.checkpoint import load_learner, load_weights_into, save_adapted, save_learner
from hfmeta.publishing.files import write_json, written_together
from hfmeta.publishing.hub import push_folder, push_learner

__all__ = [
    "load_learner",
    "load_weights_into",
    "push_folder",
    "push_learner",
    "save_adapted",
    "save_learner",
    "write_json",
    "written_together",
]
