"""Methods with a pretrained, frozen teacher."""

from limbeck.methods.offline.bert_pkd import bert_pkd
from limbeck.methods.offline.distilbert import distilbert
from limbeck.methods.offline.embeddings import embeddings
from limbeck.methods.offline.hinton import hinton
from limbeck.methods.offline.minilm import minilm
from limbeck.methods.offline.minilm_v2 import minilm_v2
from limbeck.methods.offline.mobilebert import mobilebert
from limbeck.methods.offline.static_embeddings import static_embeddings
from limbeck.methods.offline.tinybert import tinybert

__all__ = [
    "bert_pkd",
    "distilbert",
    "embeddings",
    "hinton",
    "minilm",
    "minilm_v2",
    "mobilebert",
    "static_embeddings",
    "tinybert",
]
