"""What models are judged by: metrics by name, each a function of a set of items.

>>> from limbeck import metrics
>>> metrics.get("accuracy").compute(logits, labels)  # [seeds]
"""

from __future__ import annotations

from limbeck.metrics import classification, entities, multilabel, regression, tokens, undefined
from limbeck.metrics.counted import CountedMeasure
from limbeck.metrics.measure import Floats, Measure, Records, Rows
from limbeck.metrics.metric import FromMeans, ItemStatistics, Metric, first_mean
from limbeck.utils.registry import UnknownNameError

__all__ = [
    "METRICS",
    "CountedMeasure",
    "Floats",
    "FromMeans",
    "ItemStatistics",
    "Measure",
    "Metric",
    "Records",
    "Rows",
    "first_mean",
    "get",
    "register",
]

METRICS: dict[str, Measure] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", classification.correct, first_mean, share=True),
        classification.ClassMetric("f1", classification.f1, undefined.class_without_items),
        classification.ClassMetric("matthews", classification.matthews, undefined.equal_labels, percent=False),
        Metric("pearson", regression.moments, regression.correlation, percent=False, undefined_for=undefined.equal_labels),
        Metric(
            "spearman", regression.rank_moments, regression.correlation, percent=False, undefined_for=undefined.equal_labels
        ),
        Metric("answer_f1", classification.correct, first_mean),  # of extracted answers: the task scores each question
        Metric("exact_match", classification.correct, first_mean, share=True),
        Metric("masked_accuracy", tokens.predicted_tokens, tokens.token_mean),
        Metric("masked_cross_entropy", tokens.token_nats, tokens.token_mean, higher_is_better=False, percent=False),
        Metric("masked_perplexity", tokens.token_nats, tokens.perplexity, higher_is_better=False, percent=False),
        Metric("token_accuracy", tokens.predicted_tokens, tokens.token_mean),
        Metric("token_cross_entropy", tokens.token_nats, tokens.token_mean, higher_is_better=False, percent=False),
        Metric("perplexity", tokens.token_nats, tokens.perplexity, higher_is_better=False, percent=False),
        Metric("probe_accuracy", classification.correct, first_mean, share=True),  # of embeddings, by logits
        Metric("knn_accuracy", classification.correct, first_mean, share=True),
        Metric("neighbour_overlap", classification.correct, first_mean),  # the task scores each text
        Metric("recall_at_10", classification.correct, first_mean, share=True),  # of retrieval: the task scores each query
        Metric("recall_at_1", classification.correct, first_mean, share=True),
        Metric("mean_reciprocal_rank", classification.correct, first_mean, percent=False),
        Metric("mean_squared_error", regression.squared_error, first_mean, higher_is_better=False, percent=False),
        Metric("macro_f1", multilabel.label_counts, multilabel.macro_f1, undefined_for=undefined.class_without_items),
        Metric("micro_f1", multilabel.label_counts, multilabel.micro_f1, undefined_for=undefined.no_label_applies),
        Metric("entity_f1", entities.found_entities, entities.entity_f1),  # of tags: the task counts entities
        Metric("tag_accuracy", entities.right_words, tokens.token_mean),
        multilabel.MeanAveragePrecision(),
    )
}


def register(metric: Measure) -> Measure:
    """Adds a metric, which tasks and verdicts then find by its name.

    Raises:
        ValueError: another metric has this name.
    """
    if METRICS.setdefault(metric.name, metric) is not metric:
        raise ValueError(f"metric {metric.name!r} is registered twice: {METRICS[metric.name]!r} and {metric!r}")
    return metric


def get(name: str) -> Measure:
    """The metric called `name`; an unknown name raises a ValueError that offers the nearest."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, sorted(METRICS))
    return METRICS[name]
