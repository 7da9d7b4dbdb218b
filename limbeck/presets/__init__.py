"""Papers as code: each preset returns the terms, or a student and its stages, of a published method, with the paper's defaults.

    from limbeck import presets

    student, stages = presets.tinybert(teacher, task=task, items=train, layers=4, hidden=312)
    job = Distillation(student, teacher, phases=stages, task=task)

Recipes name them: `preset: {tinybert: {layers: 4, hidden: 312}}`.
"""

from limbeck.presets.bert_pkd import bert_pkd
from limbeck.presets.distilbert import distilbert
from limbeck.presets.embeddings import embeddings
from limbeck.presets.hinton import hinton
from limbeck.presets.minilm import minilm
from limbeck.presets.minilm_v2 import minilm_v2
from limbeck.presets.mobilebert import mobilebert
from limbeck.presets.static_embeddings import static_embeddings
from limbeck.presets.tinybert import tinybert
from limbeck.registry import Registry

registry = Registry("preset")
for _preset in (bert_pkd, distilbert, embeddings, minilm, minilm_v2, mobilebert, static_embeddings, tinybert):
    registry.register(_preset.__name__)(_preset)

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
