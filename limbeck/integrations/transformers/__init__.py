"""A `Trainer` of Transformers with a teacher.

    from limbeck.integrations.transformers import DistillationTrainer

    terms = [Term(objectives.get("soft_targets", temperature=2), weight=0.5)]
    trainer = DistillationTrainer(student, args, train_dataset=data, teacher=teacher, terms=terms)
    trainer.train()

Only the loss changes. Steps, devices, precision, logs and checkpoints stay the Trainer's.
"""

try:
    import transformers  # noqa: F401
except ImportError as error:
    raise ImportError("limbeck.integrations.transformers needs transformers: pip install 'limbeck[text]'") from error

from limbeck.integrations.transformers.trainer import DistillationMixin, DistillationTrainer

__all__ = ["DistillationMixin", "DistillationTrainer"]
