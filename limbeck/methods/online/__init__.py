"""Methods without a pretrained teacher: several models, or branches of one, that learn together."""

from limbeck.methods.online.kdcl import kdcl
from limbeck.methods.online.mutual_learning import mutual_learning
from limbeck.methods.online.one import one

__all__ = ["kdcl", "mutual_learning", "one"]
