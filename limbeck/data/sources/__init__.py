"""Sources that recipes name: noise for a generator, text sampled from an actor, further data sets."""

from limbeck.data.sources.dataset_file import DatasetFile
from limbeck.data.sources.generated import Generated
from limbeck.data.sources.own_samples import OwnSamples

__all__ = ["DatasetFile", "Generated", "OwnSamples"]
