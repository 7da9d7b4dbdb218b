"""Targets that are more than the signal of one actor; a plain frozen actor is named by its reference."""

from limbeck.core.teachers.base import Teacher, registry, teacher
from limbeck.core.teachers.constant import VirtualTeacher
from limbeck.core.teachers.drawn import Drawn
from limbeck.core.teachers.early_exit import EarlyExit
from limbeck.core.teachers.ensemble import Ensemble
from limbeck.core.teachers.min_logit import MinLogit
from limbeck.core.teachers.past_predictions import PastPredictions

__all__ = ["Drawn", "EarlyExit", "Ensemble", "MinLogit", "PastPredictions", "Teacher", "VirtualTeacher", "registry", "teacher"]
