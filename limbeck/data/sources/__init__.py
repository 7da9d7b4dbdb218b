"""Sources that recipes name: noise for a generator, text sampled from an actor, further data sets, a memory of items."""

from limbeck.data.sources.dataset_file import DatasetFile
from limbeck.data.sources.generated import Generated
from limbeck.data.sources.own_samples import OwnSamples
from limbeck.data.sources.pool import Pool

__all__ = ["DatasetFile", "Generated", "OwnSamples", "Pool"]
