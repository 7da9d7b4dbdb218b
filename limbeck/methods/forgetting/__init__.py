"""Methods by which a trained student learns a new domain and keeps what it knew."""

from limbeck.methods.forgetting.learning_without_forgetting import learning_without_forgetting

__all__ = ["learning_without_forgetting"]
