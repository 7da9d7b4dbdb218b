"""Distillation inside the training loops of other libraries.

`limbeck.integrations.transformers` adds a teacher to a `Trainer` of Transformers, `limbeck.integrations.sentence_transformers`
to a `SentenceTransformerTrainer`. Each package needs the library that it is named after.
"""
