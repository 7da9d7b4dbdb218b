"""Masked language modelling: predicting hidden tokens."""

from __future__ import annotations

from torch import Tensor

from limbeck.data import Items, Masking, MaskingVocabulary
from limbeck.data.text.masking import check_hidden_share
from limbeck.tasks.token_prediction import TokenPrediction


class MaskedLanguageModelling(TokenPrediction):
    """Hides some tokens of each text, others in every epoch, and predicts them (Devlin et al. 2018, arXiv 1810.04805).

    Needs no labels. Evaluation hides the same tokens every time. Intervals resample texts.

    Args:
        metric: masked_accuracy, masked_cross_entropy or masked_perplexity.
        share: fraction of the tokens that is hidden; of these 80 % become the mask token, 10 % a random one, 10 % stay.

    Raises:
        ValueError: an unknown metric; a share that is not above 0 and at most 1.
    """

    name = "masked_language_modelling"
    metrics = ("masked_accuracy", "masked_cross_entropy", "masked_perplexity")
    title = "masked language modelling"
    auto_class = "AutoModelForMaskedLM"
    remedy = "of texts, tokens are hidden"

    def __init__(self, metric: str | None = None, share: float = 0.15) -> None:
        super().__init__(metric)
        self.share = check_hidden_share(share)

    def token_view(self, items: Items) -> Masking:
        return Masking(MaskingVocabulary.of(self.tokens_of(items).tokenizer), self.share)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if not self._predicts_any(outputs, items):
            raise ValueError(f"{data}: the texts hold no token that could be hidden; are they empty?")
