"""Distillation inside the training loops of other libraries.

`limbeck.integrations.transformers` is for scripts with a `Trainer`, `limbeck.integrations.sentence_transformers` for those with
a `SentenceTransformerTrainer`. Each module needs the library that it is named after.
"""
