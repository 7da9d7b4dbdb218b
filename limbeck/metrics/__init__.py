"""What models are judged by, each metric a function of means over items."""

from limbeck.metrics.measures import MEASURES, Floats, Measure, Parts, Value, measure

__all__ = ["MEASURES", "Floats", "Measure", "Parts", "Value", "measure"]
