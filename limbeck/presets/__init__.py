"""Papers as code: each preset returns the terms or stages of a published method, with the paper's defaults."""

from limbeck.presets.hinton import hinton

__all__ = ["hinton"]
