"""Checkpoint folders, cards, and the way to the hub."""

from hfmeta.adapters.together import written_together
from hfmeta.publishing.checkpoint import load_learner, load_weights_into, save_adapted, save_learner
from hfmeta.publishing.files import write_json
from hfmeta.publishing.hub import PushError, push_folder, push_learner, push_run
from hfmeta.publishing.results import keep_results
from hfmeta.publishing.resuming import last_good_checkpoint, seal, sealing, whole_checkpoint
from hfmeta.publishing.verifying import check_run, check_saved

__all__ = [
    "PushError",
    "check_run",
    "check_saved",
    "keep_results",
    "last_good_checkpoint",
    "load_learner",
    "load_weights_into",
    "push_folder",
    "push_learner",
    "push_run",
    "save_adapted",
    "save_learner",
    "seal",
    "sealing",
    "whole_checkpoint",
    "write_json",
    "written_together",
]
