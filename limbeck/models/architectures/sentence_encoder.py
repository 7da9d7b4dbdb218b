"""Models of Sentence Transformers over padded ids, as everything here calls models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limbeck.models.architectures.static_encoder import NAME, StaticEncoder
from limbeck.models.base import record_spec, registry
from limbeck.models.loaders import import_package
from limbeck.utils.log_silencing import suppress_transformers_logs

TEXT_MODALITY = {"method": "forward", "method_output_name": "last_hidden_state"}  # how the network is asked about texts


@registry.register(NAME)
def sentence_transformers_model(name_or_path: str, *, local_files_only: bool = False, revision: str | None = None) -> nn.Module:
    """A model of Sentence Transformers, from the hub or a folder: token ids [B, L] → embeddings [B, D].

    An encoder of Transformers will do too: the mean of its hidden states is then taken. What is returned is a
    `SentenceEncoder`, or a `StaticEncoder` where the model is a table of token vectors.

    Args:
        name_or_path: name on the hub or local folder.
        local_files_only: never ask the hub.
        revision: branch, tag or commit on the hub.

    Raises:
        MissingPackageError: sentence-transformers is not installed.
        ValueError: no such model, or one that would run code of its own.
    """
    library, transformers = import_package(NAME), import_package("transformers")
    with suppress_transformers_logs(transformers):
        try:
            model: nn.Module = library.SentenceTransformer(
                name_or_path,
                device="cpu",
                local_files_only=local_files_only,
                revision=revision,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except OSError as error:
            raise ValueError(f"no sentence encoder at {name_or_path!r}: {str(error).splitlines()[0]}") from error
    made = wrap_sentence_transformer(model)
    source = {"name_or_path": str(name_or_path), "local_files_only": local_files_only, "revision": revision}
    record_spec(made, NAME, source)
    return made.eval()


def wrap_sentence_transformer(sentence_transformer: nn.Module) -> nn.Module:
    """A `SentenceTransformer` as a module that is called with padded token ids."""

    first = next(sentence_transformer.children(), None)
    static = isinstance(getattr(first, "embedding", None), nn.EmbeddingBag)
    return StaticEncoder(sentence_transformer) if static else SentenceEncoder(sentence_transformer)


class SentenceEncoder(nn.Module):
    """A `SentenceTransformer` that is called with tokens: [B, L] → [B, D], for the same tokens what its `encode` gives.

    Its modules stay as they are, pooling and normalisation among them; layers are tapped by number, as in `hidden(-1)`. Prompts
    that it puts before texts are not part of it: they belong into the data.

    Args:
        sentence_transformer: stays inside, and is trained and saved as it is.

    Raises:
        ValueError: a model that is no Transformer over tokens with a pooling after it.
    """

    def __init__(self, sentence_transformer: nn.Module) -> None:
        super().__init__()
        first, *after = [*sentence_transformer.children()] or [nn.Identity()]
        if getattr(first, "modality_config", {}).get("text") != TEXT_MODALITY or not after:
            raise ValueError(
                f"a sentence encoder is a Transformer whose last hidden states are pooled; this one, which begins with "
                f"{type(first).__name__}, is none"
            )
        self.sentence_transformer = sentence_transformer
        record_spec(self, NAME, {})  # a folder tells all the rest

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None) -> Tensor:
        """The embeddings of the texts; tokens with mask 0 are padding."""
        first, *after = self.sentence_transformer.children()
        tensors = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        accepted: Any = first.model_forward_params  # None: it takes whatever there is
        inputs = {
            name: tensor for name, tensor in tensors.items() if tensor is not None and (accepted is None or name in accepted)
        }
        # the first module would call the network's `forward`, past the hooks that listen to it
        features: dict[str, Any] = {**inputs, "token_embeddings": self.transformer(**inputs).last_hidden_state}
        for module in after:
            features = module(features)
        embedding: Tensor = features["sentence_embedding"]
        return embedding

    @property
    def transformer(self) -> Any:
        """The network that turns tokens into hidden states, a `PreTrainedModel`."""
        return next(self.sentence_transformer.children()).model

    def with_transformer(self, make: Callable[[Any], Any], tokenizer: Any = None) -> SentenceEncoder:
        """The same with a network that `make` makes of this one's, and another tokenizer if one is given; all that follows, the
        pooling first, is kept.

        Raises:
            ValueError: another width, and a learned module that was made for the old one.
        """
        network = self.transformer
        made = make(network)
        # deepcopy puts the new network wherever the old one stood
        student = copy.deepcopy(self.sentence_transformer, {id(network): made})
        if made.config.hidden_size != network.config.hidden_size:
            _set_width(student, made.config.hidden_size)
        if tokenizer is not None:
            first = next(student.children())
            setattr(first, "processor" if hasattr(first, "processor") else "tokenizer", tokenizer)  # the former since version 6
        return SentenceEncoder(student).train(made.training)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it as Sentence Transformers does, in safetensors; `SentenceTransformer(folder)` loads it."""
        self.sentence_transformer.save_pretrained(str(folder), create_model_card=False)  # type: ignore[operator]


def _set_width(sentence_transformer: nn.Module, width: int) -> None:
    """Tell the modules after the network how wide its states are now."""
    after: list[Any] = list(sentence_transformer.children())[1:]
    for module in after:
        if any(True for _ in module.parameters()):
            raise ValueError(
                f"{type(module).__name__} follows the network and was trained for its width; keep that (init_from_teacher), or "
                "take a teacher without such a module"
            )
        if hasattr(module, "pooling_output_dimension"):
            scale = module.pooling_output_dimension // module.embedding_dimension
            module.embedding_dimension, module.pooling_output_dimension = width, scale * width
