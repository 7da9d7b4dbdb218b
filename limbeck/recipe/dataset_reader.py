"""How the data of a recipe becomes what models read: texts as tokens of one vocabulary or two, altered copies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from limbeck.recipe.schema.parts import AugmentSpec, DatasetSpec, ModelSpec
from limbeck.recipe.yaml_text import RecipeError, expand_variables

if TYPE_CHECKING:
    from limbeck.data import Items
    from limbeck.data.text.word_replacements import WordReplacements
    from limbeck.models.shrink import CorpusVocabulary
    from limbeck.recipe.base import BaseRecipe


class DatasetReader:
    """The data of one recipe.

    Attributes:
        students_tokenizer: what the student reads by, where it has a vocabulary of its own and that is known already, as in a
            finished run; it is then not made again from the training texts.
    """

    def __init__(self, job: BaseRecipe) -> None:
        self.job = job
        self.student_tokenizer: Any = None

    def use_student_tokenizer(self, tokenizer: Any) -> None:
        """Read everything as a finished student does, which needs neither its teacher nor its training texts."""
        self.__dict__ |= {"tokenizer": tokenizer, "vocabulary": None}
        self.student_tokenizer = None

    # --- tokenizers --------------------------------------------------------------------------------------------------

    @cached_property
    def tokenizer(self) -> Any:
        """Of texts: the one that the data names, or else the teacher's."""
        given = self.job.data.tokenizer
        if given is None:
            return self._own_tokenizer(self.job.teacher, "data.tokenizer: texts need a tokenizer; name one")
        from limbeck.models.tokenizer import load_tokenizer

        local = self.job.teacher.args.get("local_files_only", False)
        found = load_tokenizer(expand_variables(given, "data.tokenizer"), local_files_only=local)
        for who, spec in (("teacher", self.job.teacher), ("student", self.job.student)):
            self._check_vocabulary(found, who, spec)
        return found

    def _own_tokenizer(self, model: ModelSpec, missing: str = "") -> Any:
        """What a model by name brings along. `missing`: what to say where it has no name; None is answered otherwise."""
        from limbeck.models.tokenizer import load_tokenizer

        name = model.args.get("name_or_path")
        if name is None:
            if missing:
                raise RecipeError(f"{missing} (a folder, or a name on the Hugging Face hub)")
            return None
        return load_tokenizer(
            expand_variables(name, "args.name_or_path"), local_files_only=model.args.get("local_files_only", False)
        )

    def _check_vocabulary(self, tokenizer: Any, who: str, model: ModelSpec) -> None:
        """A model reads its own vocabulary alone; whatever other ids it is given, it answers something."""
        from limbeck.data.text.tokenizer_alignment import vocabulary_difference

        try:
            own = self._own_tokenizer(model)
        except (OSError, ValueError):  # it has none, which is why the data names one
            return
        if own is None:
            return
        read, known = tokenizer.get_vocab(), own.get_vocab()
        numbers = set(read.values())  # what the model knows besides, nobody asks it
        kept = {word: at for word, at in known.items() if word in read or at in numbers}
        apart = vocabulary_difference(read, kept, ("that one's", f"the {who}'s"))
        if apart is not None:
            raise RecipeError(
                f"data.tokenizer: {self.job.data.tokenizer} is not what the {who} reads: {apart}. Leave it out: each model "
                "brings its own along"
            )

    @cached_property
    def vocabulary(self) -> CorpusVocabulary | None:
        """What the training texts leave of the teacher's vocabulary, where the student keeps no more than that."""
        spec = self.job.student.vocabulary
        if spec is None:
            return None
        from limbeck.models.shrink import CorpusVocabulary

        texts = (text for part in (self.job.data.train, *spec.texts) for text in self._texts(part))
        return CorpusVocabulary.of(self.tokenizer, texts, size=spec.size, min_count=spec.min_count)

    @property
    def tokenizers(self) -> Any:
        """One for all, or the student's and the teacher's by name."""
        own = self.student_tokenizer or (self._own_student_tokenizer if self.vocabulary is None else self.vocabulary.tokenizer)
        return self.tokenizer if own is None else {"student": own, "teacher": self.tokenizer}

    @cached_property
    def _own_student_tokenizer(self) -> Any:
        """That of a student by another name; None where the data names one for both, or the student brings none along."""
        student, data = self.job.student, self.job.data
        name, theirs = (each.args.get("name_or_path") for each in (student, self.job.teacher))
        if data.tokenizer is not None or name is None or name == theirs:
            return None
        try:
            return self._own_tokenizer(student)
        except OSError:
            return None

    def _texts(self, part: DatasetSpec) -> Iterator[str]:
        from limbeck.data import load_questions
        from limbeck.data.storage import TextStorage

        if self.job.task == "question_answering" and part == self.job.data.train:
            questions = load_questions(expand_variables(part.path, "data"), part.split)
            yield from dict.fromkeys([*questions.questions, *questions.contexts])
            return
        storage = self.raw_items(part).storage
        if not isinstance(storage, TextStorage):
            raise RecipeError(f"student.vocabulary: {part.path} holds no texts, whose words could be kept")
        for text in storage.texts:
            yield from (text,) if isinstance(text, str) else text

    # --- items -------------------------------------------------------------------------------------------------------

    def items(self, part: DatasetSpec) -> Items:
        """The items of one data set; texts as tokens."""
        if self.job.task == "question_answering" and part.label is not False:
            return self._windows(part)
        return self.texts(part)

    def texts(self, part: DatasetSpec) -> Items:
        """Texts of any kind, also where the task's own are questions."""
        return self._tokens(self.raw_items(part))

    def raw_items(self, part: DatasetSpec) -> Items:
        """The items as the data holds them."""
        from limbeck.recipe.base import load

        hidden = self.job.task == "masked_language_modelling"  # tokens are the labels, and a column of others says nothing
        return load(part, regression=self.job.task == "regression", labels=not hidden)

    def _windows(self, part: DatasetSpec) -> Items:
        from limbeck.data import load_questions, per_actor_items, tokenize_questions

        data, tokenizers = self.job.data, self.tokenizers
        questions = load_questions(expand_variables(part.path, "data"), part.split)
        if part.limit is not None:
            questions = questions.select(range(min(part.limit, len(questions))))
        if not isinstance(tokenizers, dict):
            return tokenize_questions(questions, tokenizers, data.max_length, data.stride)
        return per_actor_items(
            {name: tokenize_questions(questions, each, data.max_length, data.stride) for name, each in tokenizers.items()}
        )

    def _tokens(self, items: Items) -> Items:
        from limbeck.data import tokenize
        from limbeck.data.storage import TextStorage

        if not isinstance(items.storage, TextStorage):
            return items
        return tokenize(items, self.tokenizers, self.job.data.max_length)

    def load(self) -> tuple[Items, Items, Items | None, Items]:
        """(all labels, what the student sees, validation, test)."""
        if self.job.task == "question_answering":
            return self._load_questions()
        data = self.job.data
        train, validation = self.raw_items(data.train), None
        if isinstance(data.validation, DatasetSpec):
            validation = self.raw_items(data.validation)
        elif data.validation > 0:
            validation, train = train.split(data.validation)
        seen = self._augmented(self._student_items(train))
        everything = self._tokens(train)
        seen = everything if seen is train else self._tokens(seen)
        if validation is not None:
            validation = self._tokens(validation).align_classes(train.class_names, "data.validation")
        return everything, seen, validation, self.items(data.test).align_classes(train.class_names, "data.test")

    def _load_questions(self) -> tuple[Items, Items, Items | None, Items]:
        from limbeck.data import split_by_question

        data = self.job.data
        if data.augment is not None:
            raise RecipeError("data.augment: a context with other words has its answer elsewhere; leave it out")
        train, validation = self.items(data.train), None
        if isinstance(data.validation, DatasetSpec):
            validation = self.items(data.validation)
        elif data.validation > 0:  # all windows of a question stay together
            validation, train = split_by_question(train, data.validation)
        return train, self._student_items(train), validation, self.items(data.test)

    def _student_items(self, train: Items) -> Items:
        """What the student gets to see of the training items."""
        data = self.job.data
        seen = train if data.labels is None else train.keep_labels(data.labels, data.labels_seed)
        return seen if data.unlabelled else self.job.new_task().training_items(seen)

    # --- altered copies ----------------------------------------------------------------------------------------------

    def _augmented(self, items: Items) -> Items:
        """The items and their altered copies, where the recipe wants some."""
        spec = self.job.data.augment
        if spec is None:
            return items
        from limbeck.data.text.augmentation import augment_texts

        cache = None if spec.cache is None else expand_variables(spec.cache, "data.augment.cache")
        options: dict[str, Any] = {"copies": spec.copies, "probability": spec.probability, "seed": spec.seed, "cache": cache}
        return augment_texts(items, self._candidates(spec), **options)

    def _candidates(self, spec: AugmentSpec) -> WordReplacements:
        from limbeck.data.text.word_replacements import EmbeddingReplacements, FallbackReplacements, MaskedModelReplacements

        found: list[WordReplacements] = []
        if spec.masked is not None:
            model, tokenizer = self._encoder(expand_variables(spec.masked, "data.augment.masked"), "AutoModelForMaskedLM")
            limit = self.job.data.max_length
            found.append(MaskedModelReplacements(model, tokenizer, count=spec.count, together=spec.together, max_length=limit))
        options: dict[str, Any] = {"count": spec.count, "minimum": spec.minimum}
        if spec.neighbours == "embeddings":
            found.append(EmbeddingReplacements.from_encoder(*self._embeddings(), **options))
        elif spec.neighbours:
            found.append(
                EmbeddingReplacements.from_file(expand_variables(spec.neighbours, "data.augment.neighbours"), **options)
            )
        return found[0] if len(found) == 1 else FallbackReplacements(*found)

    def _embeddings(self) -> tuple[Any, Any]:
        """An encoder and its tokenizer, whose whole words may come in: no others than the student's vocabulary has."""
        name = self.job.teacher.args.get("name_or_path")
        if name is None:
            raise RecipeError(
                "data.augment.neighbours: the teacher has no embeddings to be read before it is built; name a file"
            )
        encoder, tokenizer = self._encoder(expand_variables(name, "teacher.args.name_or_path"), "AutoModel")
        if self.vocabulary is None:
            return encoder, tokenizer
        return self.vocabulary.cut(encoder), self.vocabulary.tokenizer

    def _encoder(self, name: str, kind: str) -> tuple[Any, Any]:
        from limbeck import models
        from limbeck.models.tokenizer import load_tokenizer

        local = self.job.teacher.args.get("local_files_only", False)
        model = models.get("transformers", name_or_path=name, task=kind, local_files_only=local)
        return model, load_tokenizer(name, local_files_only=local)
