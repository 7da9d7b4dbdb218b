"""Text students made from a teacher: fewer layers, smaller sizes, a smaller vocabulary, or no network at all.

    from limbeck.models import text

    student = text.init_from_teacher(teacher, [0, 2, 4, 7, 9, 11])
    student, tokenizer, report = text.trim_vocabulary(student, tokenizer, texts)
    student.save_pretrained("student")

Every student is an ordinary model of Transformers (or Sentence Transformers), saved and loaded as one.
"""

from limbeck.models.architectures.sentence_encoder import of_encoder
from limbeck.models.shrink.depth import init_from_teacher
from limbeck.models.shrink.factorised import factorised, factorised_student
from limbeck.models.shrink.hidden_states import states_of
from limbeck.models.shrink.layer_map import layer_map
from limbeck.models.shrink.mobilebert import mobilebert
from limbeck.models.shrink.static_embeddings import StaticEncoder, static_embeddings, static_student
from limbeck.models.shrink.vocabulary import CorpusVocabulary, Trimmed, trim_vocabulary
from limbeck.models.shrink.width import narrower
from limbeck.utils.registry import Registry

from_teacher = Registry("way to make a student from its teacher")
for _way in (init_from_teacher, narrower, mobilebert):
    from_teacher.register(_way.__name__)(of_encoder(_way))
from_teacher.register("factorised")(of_encoder(factorised_student))
from_teacher.register("static_embeddings")(static_student)

__all__ = [
    "CorpusVocabulary",
    "StaticEncoder",
    "Trimmed",
    "factorised",
    "from_teacher",
    "init_from_teacher",
    "layer_map",
    "mobilebert",
    "narrower",
    "states_of",
    "static_embeddings",
    "static_student",
    "trim_vocabulary",
]
