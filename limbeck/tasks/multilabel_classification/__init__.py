"""Multi-label classification: any number of the classes apply to an item."""

from limbeck.tasks.multilabel_classification.predictions import MultilabelPredictions
from limbeck.tasks.multilabel_classification.task import MultilabelClassification

__all__ = ["MultilabelClassification", "MultilabelPredictions"]
