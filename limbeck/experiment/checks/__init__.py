"""Checks of an experiment: data, models, terms and folder before a training, and the teacher and BatchNorm after one."""

from limbeck.experiment.checks.batch_statistics import warn_of_batch_statistics
from limbeck.experiment.checks.data import check_range
from limbeck.experiment.checks.experiment import check_experiment, check_folder, compares_with_teacher, try_teachers
from limbeck.experiment.checks.guessing import warn_of_guessing
from limbeck.experiment.checks.shared_items import SeenItems, check_shared

__all__ = [
    "SeenItems",
    "check_experiment",
    "check_folder",
    "check_range",
    "check_shared",
    "compares_with_teacher",
    "try_teachers",
    "warn_of_batch_statistics",
    "warn_of_guessing",
]
