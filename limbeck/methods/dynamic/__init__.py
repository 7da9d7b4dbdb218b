"""Methods whose weights or temperatures change from item to item or over the training."""

from limbeck.methods.dynamic.annealed import annealed
from limbeck.methods.dynamic.balanced import balanced
from limbeck.methods.dynamic.ctkd import ctkd
from limbeck.methods.dynamic.dynamic_temperature import dynamic_temperature
from limbeck.methods.dynamic.easy_by_labels import easy_by_labels
from limbeck.methods.dynamic.teachers_by_uncertainty import teachers_by_uncertainty
from limbeck.methods.dynamic.uncertain_items import uncertain_items
from limbeck.methods.dynamic.wsld import wsld

__all__ = [
    "annealed",
    "balanced",
    "ctkd",
    "dynamic_temperature",
    "easy_by_labels",
    "teachers_by_uncertainty",
    "uncertain_items",
    "wsld",
]
