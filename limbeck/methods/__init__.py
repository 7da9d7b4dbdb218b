"""Published methods: functions that return the terms, or a student and its stages, with the defaults of the paper.

    from limbeck import methods

    student, stages = methods.tinybert(teacher, task=task, items=train, layers=4, hidden=312)
    job = Distillation(student, teacher, phases=stages, task=task)

In a recipe: `method: {tinybert: {layers: 4, hidden: 312}}`.
"""

from limbeck.methods.offline.bert_pkd import bert_pkd
from limbeck.methods.offline.distilbert import distilbert
from limbeck.methods.offline.embeddings import embeddings
from limbeck.methods.offline.hinton import hinton
from limbeck.methods.offline.minilm import minilm
from limbeck.methods.offline.minilm_v2 import minilm_v2
from limbeck.methods.offline.mobilebert import mobilebert
from limbeck.methods.offline.static_embeddings import static_embeddings
from limbeck.methods.offline.tinybert import tinybert
from limbeck.utils.registry import Registry

registry = Registry("method")
for _method in (bert_pkd, distilbert, embeddings, minilm, minilm_v2, mobilebert, static_embeddings, tinybert):
    registry.register(_method.__name__)(_method)

__all__ = [
    "bert_pkd",
    "distilbert",
    "embeddings",
    "hinton",
    "minilm",
    "minilm_v2",
    "mobilebert",
    "registry",
    "static_embeddings",
    "tinybert",
]
