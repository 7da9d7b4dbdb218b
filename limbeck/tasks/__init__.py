"""Tasks: what a model predicts, the losses it is trained with, and the metrics it is evaluated by."""

from limbeck.tasks.base import Task
from limbeck.tasks.classification import Classification
from limbeck.tasks.masked_language_modelling import MaskedLanguageModelling
from limbeck.tasks.multilabel_classification import MultilabelClassification
from limbeck.tasks.next_token_prediction import NextTokenPrediction
from limbeck.tasks.question_answering import QuestionAnswering
from limbeck.tasks.registration import registry, task_type
from limbeck.tasks.regression import Regression
from limbeck.tasks.retrieval import Retrieval
from limbeck.tasks.sentence_embeddings import SentenceEmbeddings
from limbeck.tasks.token_classification import TokenClassification

for kind in (
    Classification,
    MaskedLanguageModelling,
    MultilabelClassification,
    NextTokenPrediction,
    QuestionAnswering,
    Regression,
    Retrieval,
    SentenceEmbeddings,
    TokenClassification,
):
    registry.register(kind.name)(kind)

__all__ = [
    "Classification",
    "MaskedLanguageModelling",
    "MultilabelClassification",
    "NextTokenPrediction",
    "QuestionAnswering",
    "Regression",
    "Retrieval",
    "SentenceEmbeddings",
    "Task",
    "TokenClassification",
    "registry",
    "task_type",
]
