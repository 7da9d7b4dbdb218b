"""Wraps models of Sentence Transformers to be called with padded token ids."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limbeck.models.architectures.static_encoder import NAME, StaticEncoder
from limbeck.models.base import record_spec, registry
from limbeck.models.loaders import import_package
from limbeck.utils.foreign_errors import library_errors
from limbeck.utils.hub import from_hub
from limbeck.utils.log_silencing import suppress_transformers_logs

TEXT_MODALITY = {
    "method": "forward",
    "method_output_name": "last_hidden_state",
}  # modality of text encoders in Sentence Transformers


@registry.register(NAME)
def sentence_transformers_model(name_or_path: str, *, local_files_only: bool = False, revision: str | None = None) -> nn.Module:
    """Loads a model of Sentence Transformers from the hub or a folder: token ids [B, L] → embeddings [B, D].

    An encoder of Transformers works too, with mean pooling. Returns a `SentenceEncoder`, or a `StaticEncoder` if the model is a
    table of token vectors.

    Args:
        name_or_path: name on the hub, or a local folder.
        local_files_only: do not access the hub.
        revision: branch, tag or commit on the hub.

    Raises:
        MissingPackageError: sentence-transformers is not installed.
        FileNotFoundError: nothing of this name here or on the hub, or the hub cannot be reached.
        ValueError: a model that needs remote code, or that Sentence Transformers does not read.
    """
    library, transformers = import_package(NAME), import_package("transformers")
    doing = f"{name_or_path}: no sentence encoder can be loaded from it"
    with suppress_transformers_logs(transformers), library_errors(doing), from_hub("sentence encoder", name_or_path):
        model: nn.Module = library.SentenceTransformer(
            name_or_path,
            device="cpu",
            local_files_only=local_files_only,
            revision=revision,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    made = wrap_sentence_transformer(model)
    source = {"name_or_path": str(name_or_path), "local_files_only": local_files_only, "revision": revision}
    record_spec(made, NAME, source)
    return made.eval()


def wrap_sentence_transformer(sentence_transformer: nn.Module) -> nn.Module:
    """Wraps a `SentenceTransformer` as a module that is called with padded token ids."""
    first = next(sentence_transformer.children(), None)
    static = isinstance(getattr(first, "embedding", None), nn.EmbeddingBag)
    return StaticEncoder(sentence_transformer) if static else SentenceEncoder(sentence_transformer)


class SentenceEncoder(nn.Module):
    """Calls a `SentenceTransformer` with tokens: [B, L] → [B, D], equal to its `encode` for the same tokens.

    It contains all modules, such as pooling and normalisation; layers are tapped by number, as in `hidden(-1)`. It adds no
    prompts to the texts: these belong in the data.

    Args:
        sentence_transformer: the wrapped model, which is trained and saved; not copied.

    Raises:
        ValueError: a model that is not a Transformer over tokens followed by pooling.
    """

    def __init__(self, sentence_transformer: nn.Module) -> None:
        super().__init__()
        first, *after = [*sentence_transformer.children()] or [nn.Identity()]
        if getattr(first, "modality_config", {}).get("text") != TEXT_MODALITY or not after:
            raise ValueError(
                f"a sentence encoder is a Transformer followed by pooling; the first module of this one is "
                f"{type(first).__name__}"
            )
        self.sentence_transformer = sentence_transformer
        record_spec(self, NAME, {})  # the folder has everything else

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None) -> Tensor:
        """Returns the embeddings of the texts; tokens with mask 0 are padding."""
        first, *after = self.sentence_transformer.children()
        tensors = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        accepted: Any = first.model_forward_params  # None: it accepts all inputs
        inputs = {
            name: tensor for name, tensor in tensors.items() if tensor is not None and (accepted is None or name in accepted)
        }
        # the first module would call `forward` of the network directly, without its hooks
        features: dict[str, Any] = {**inputs, "token_embeddings": self.transformer(**inputs).last_hidden_state}
        for module in after:
            features = module(features)
        embedding: Tensor = features["sentence_embedding"]
        return embedding

    @property
    def transformer(self) -> Any:
        """The `PreTrainedModel` inside."""
        return next(self.sentence_transformer.children()).model

    def with_transformer(self, make: Callable[[Any], Any], tokenizer: Any = None) -> SentenceEncoder:
        """Returns a copy with the network `make(self.transformer)` and, if given, another tokenizer; it keeps later modules.

        Raises:
            ValueError: the width changes, and a later module has parameters of the old width.
        """
        network = self.transformer
        made = make(network)
        # deepcopy replaces the old network by the new one
        student = copy.deepcopy(self.sentence_transformer, {id(network): made})
        if made.config.hidden_size != network.config.hidden_size:
            _set_width(student, made.config.hidden_size)
        if tokenizer is not None:
            first = next(student.children())
            setattr(
                first, "processor" if hasattr(first, "processor") else "tokenizer", tokenizer
            )  # `processor` since version 6
        return SentenceEncoder(student).train(made.training)

    def save_pretrained(self, folder: str | Path) -> None:
        """Saves the model in the format of Sentence Transformers, with safetensors; `SentenceTransformer(folder)` loads it."""
        self.sentence_transformer.save_pretrained(str(folder), create_model_card=False)  # type: ignore[operator]


def _set_width(sentence_transformer: nn.Module, width: int) -> None:
    """Sets the width of the hidden states in the modules after the network."""
    after: list[Any] = list(sentence_transformer.children())[1:]
    for module in after:
        if any(True for _ in module.parameters()):
            raise ValueError(
                f"{type(module).__name__} follows the network and has parameters of its width; keep the width "
                "(init_from_teacher), or use a teacher without such a module"
            )
        if hasattr(module, "pooling_output_dimension"):
            scale = module.pooling_output_dimension // module.embedding_dimension
            module.embedding_dimension, module.pooling_output_dimension = width, scale * width
