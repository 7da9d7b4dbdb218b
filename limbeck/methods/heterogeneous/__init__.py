"""Methods for a teacher of another architecture: CNN, transformer, multilayer perceptron."""

from limbeck.methods.heterogeneous.cross_architecture import cross_architecture
from limbeck.methods.heterogeneous.deit import deit
from limbeck.methods.heterogeneous.ofa_kd import ofa_kd
from limbeck.methods.heterogeneous.progressive_projection import progressive_projection
from limbeck.methods.heterogeneous.takd import takd

__all__ = ["cross_architecture", "deit", "ofa_kd", "progressive_projection", "takd"]
