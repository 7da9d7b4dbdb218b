"""Causal language modelling: predicting the next token."""

from __future__ import annotations

from torch import Tensor

from limbeck.data import Items, NextTokens
from limbeck.tasks.token_prediction import TokenPrediction


class NextTokenPrediction(TokenPrediction):
    """Predicts each token of a text from those before it, as causal language models do (`AutoModelForCausalLM`).

    Needs no labels: the tokens are. The first token of a text is not predicted, padding neither. Intervals resample texts.

    Args:
        metric: perplexity, token_cross_entropy or token_accuracy.
    """

    name = "next_token"
    metrics = ("perplexity", "token_cross_entropy", "token_accuracy")
    title = "next-token prediction"
    auto_class = "AutoModelForCausalLM"
    remedy = "of texts, the next token is predicted"

    def token_view(self, items: Items) -> NextTokens:
        self.tokens_of(items)
        return NextTokens()

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if not self._predicts_any(outputs, items):
            raise ValueError(f"{data}: no text holds two tokens, so there is no next one; give longer texts")
