"""Sources that recipes name: noise, alone or for a generator; samples made by inversion; text sampled from an actor; data sets;
memories; mixtures."""

from limbeck.data.sources.dataset_file import DatasetFile
from limbeck.data.sources.gaussian import Gaussian
from limbeck.data.sources.generated import Generated
from limbeck.data.sources.mixture import Mixture
from limbeck.data.sources.own_samples import OwnSamples
from limbeck.data.sources.pool import Pool
from limbeck.data.sources.synthesis import Synthesis
from limbeck.data.sources.synthesis_targets import BalancedLabels, DirichletTargets
from limbeck.data.sources.uniform import Uniform

__all__ = [
    "BalancedLabels",
    "DatasetFile",
    "DirichletTargets",
    "Gaussian",
    "Generated",
    "Mixture",
    "OwnSamples",
    "Pool",
    "Synthesis",
    "Uniform",
]
