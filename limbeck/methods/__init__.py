"""Published methods: functions that return what they decide of a run, with the defaults of the paper, by paradigm.

    from limbeck import methods

    job = Distillation(teacher=teacher, task=task, **methods.call("tinybert", {"layers": 4}, teacher=teacher, task=task))
    job = Distillation(student, teacher, task=task, **methods.call("hinton", {"temperature": 2}, task=task))

In a recipe: `method: {tinybert: {layers: 4, hidden: 312}}`.
"""

from limbeck.methods.offline import (
    bert_pkd,
    distilbert,
    embeddings,
    hinton,
    minilm,
    minilm_v2,
    mobilebert,
    static_embeddings,
    tinybert,
)
from limbeck.methods.registration import (
    DistillationArguments,
    call,
    check_arguments,
    needs,
    paradigm,
    parameters,
    reads_models_or_data,
    registry,
)

__all__ = [
    "DistillationArguments",
    "bert_pkd",
    "call",
    "check_arguments",
    "distilbert",
    "embeddings",
    "hinton",
    "minilm",
    "minilm_v2",
    "mobilebert",
    "needs",
    "paradigm",
    "parameters",
    "reads_models_or_data",
    "registry",
    "static_embeddings",
    "tinybert",
]
