"""Who gives the target: a frozen actor needs only its name; these are the others."""

from limbeck.teachers.base import Teacher
from limbeck.teachers.constant import VirtualTeacher
from limbeck.teachers.ensemble import Ensemble
from limbeck.teachers.past import PastPredictions
from limbeck.teachers.stored import StoredAnswers

__all__ = ["Ensemble", "PastPredictions", "StoredAnswers", "Teacher", "VirtualTeacher"]
