"""Methods in which a network is its own teacher: its exits, its past, its average, other items of a class."""

from limbeck.methods.self_distillation.be_your_own_teacher import be_your_own_teacher
from limbeck.methods.self_distillation.born_again import born_again
from limbeck.methods.self_distillation.cs_kd import cs_kd
from limbeck.methods.self_distillation.dlb import dlb
from limbeck.methods.self_distillation.label_smoothing import label_smoothing
from limbeck.methods.self_distillation.mean_teacher import mean_teacher
from limbeck.methods.self_distillation.ps_kd import ps_kd
from limbeck.methods.self_distillation.virtual_teacher import virtual_teacher

__all__ = [
    "be_your_own_teacher",
    "born_again",
    "cs_kd",
    "dlb",
    "label_smoothing",
    "mean_teacher",
    "ps_kd",
    "virtual_teacher",
]
