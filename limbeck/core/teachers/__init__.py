"""Who gives the target: a frozen actor needs only its name; these are the others."""

from limbeck.core.teachers.base import Teacher
from limbeck.core.teachers.constant import VirtualTeacher
from limbeck.core.teachers.ensemble import Ensemble
from limbeck.core.teachers.past_predictions import PastPredictions

__all__ = ["Ensemble", "PastPredictions", "Teacher", "VirtualTeacher"]
