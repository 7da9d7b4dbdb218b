"""Where signals are read in a model: taps, the probe that records them, and pairs of taps at equal depth."""

from limbeck.core.taps.encoder_layout import attention_layers, layers
from limbeck.core.taps.pairing import FeatureMap, feature_maps, pair_taps, stage_ends
from limbeck.core.taps.probe import Probe, Signals
from limbeck.core.taps.tap import Tap

__all__ = [
    "FeatureMap",
    "Probe",
    "Signals",
    "Tap",
    "attention_layers",
    "feature_maps",
    "layers",
    "pair_taps",
    "stage_ends",
]
