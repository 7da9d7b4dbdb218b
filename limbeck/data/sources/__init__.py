"""Sources that recipes name: noise, alone or for a generator; text sampled from an actor; data sets; memories; mixtures."""

from limbeck.data.sources.dataset_file import DatasetFile
from limbeck.data.sources.gaussian import Gaussian
from limbeck.data.sources.generated import Generated
from limbeck.data.sources.mixture import Mixture
from limbeck.data.sources.own_samples import OwnSamples
from limbeck.data.sources.pool import Pool

__all__ = ["DatasetFile", "Gaussian", "Generated", "Mixture", "OwnSamples", "Pool"]
