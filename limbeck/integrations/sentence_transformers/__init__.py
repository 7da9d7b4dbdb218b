"""A loss of Sentence Transformers that distils a teacher. Its trainer, data sets and evaluators stay.

    from limbeck.integrations.sentence_transformers import DistillationLoss

    loss = DistillationLoss(student, teacher, terms=[Term(objectives.get("embedding_cosine"))])
    SentenceTransformerTrainer(student, args, train_dataset=data, loss=loss).train()

The data set has one or several columns of texts; the loss of a batch is computed over all of them.
"""

from limbeck.integrations.sentence_transformers.loss import DistillationLoss

__all__ = ["DistillationLoss"]
