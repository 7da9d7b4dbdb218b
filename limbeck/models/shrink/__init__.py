"""Makes text students from a teacher: fewer layers, smaller sizes, a smaller vocabulary, or static embeddings.

    from limbeck.models import shrink

    student = shrink.init_from_teacher(teacher, [0, 2, 4, 7, 9, 11])
    student, tokenizer, report = shrink.trim_vocabulary(student, tokenizer, texts)
    student.save_pretrained("student")

Every student is an ordinary model of Transformers or Sentence Transformers.
"""

from limbeck.models.architectures.static_encoder import StaticEncoder
from limbeck.models.shrink.depth import init_from_teacher
from limbeck.models.shrink.factorised import factorised, factorised_student
from limbeck.models.shrink.hidden_states import collect_hidden_states
from limbeck.models.shrink.layer_map import layer_map
from limbeck.models.shrink.mobilebert import mobilebert
from limbeck.models.shrink.sentence_encoders import for_sentence_encoders
from limbeck.models.shrink.static_embeddings import static_embeddings, static_student
from limbeck.models.shrink.vocabulary import CorpusVocabulary, TrimReport, trim_vocabulary
from limbeck.models.shrink.width import narrower
from limbeck.utils.registry import Registry

from_teacher = Registry("way to make a student from its teacher")
for _way in (init_from_teacher, narrower, mobilebert):
    from_teacher.register(_way.__name__)(for_sentence_encoders(_way))
from_teacher.register("factorised")(for_sentence_encoders(factorised_student))
from_teacher.register("static_embeddings")(static_student)

__all__ = [
    "CorpusVocabulary",
    "StaticEncoder",
    "TrimReport",
    "collect_hidden_states",
    "factorised",
    "from_teacher",
    "init_from_teacher",
    "layer_map",
    "mobilebert",
    "narrower",
    "static_embeddings",
    "static_student",
    "trim_vocabulary",
]
