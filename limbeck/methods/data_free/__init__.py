"""Methods that are given the teacher only: inputs are made, and the student learns from the teacher on them."""

from limbeck.methods.data_free.belief_matching import belief_matching
from limbeck.methods.data_free.contrastive_inversion import contrastive_inversion
from limbeck.methods.data_free.dafl import dafl
from limbeck.methods.data_free.deep_inversion import deep_inversion
from limbeck.methods.data_free.dfad import dfad
from limbeck.methods.data_free.dfq import dfq
from limbeck.methods.data_free.zero_shot_kd import zero_shot_kd

__all__ = ["belief_matching", "contrastive_inversion", "dafl", "deep_inversion", "dfad", "dfq", "zero_shot_kd"]
