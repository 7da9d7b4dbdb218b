"""Sources whose inputs are in no data set: noise for a generator, and text sampled from an actor."""

from limbeck.data.sources.generated import Generated
from limbeck.data.sources.own_samples import OwnSamples

__all__ = ["Generated", "OwnSamples"]
