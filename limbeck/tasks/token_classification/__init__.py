"""Token classification: a tag for each word, such as named entity recognition."""

from limbeck.tasks.token_classification.predictions import TagPredictions
from limbeck.tasks.token_classification.task import TokenClassification

__all__ = ["TagPredictions", "TokenClassification"]
