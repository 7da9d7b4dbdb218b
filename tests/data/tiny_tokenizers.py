"""Tokenizers small enough to be made within a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "An unbelievable story, told in under ninety minutes!",
    "naïve café owners don't re-open; the film's 2nd half is weak",
    "it is what it is , and that is that",
]


def of_words(words: Iterable[str], types: bool = True, **options: Any) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer that knows exactly these pieces."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    return _bert(Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")), types, options)


def wordpiece(texts: Sequence[str] = CORPUS, size: int = 120, types: bool = True, **options: Any) -> PreTrainedTokenizerFast:
    """A trained WordPiece tokenizer, as BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    _bert_words(tokenizer)
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return _bert(tokenizer, types, options)


def byte_bpe(texts: Sequence[str] = CORPUS, size: int = 320, special: bool = True, **options: Any) -> PreTrainedTokenizerFast:
    """A trained byte-level BPE tokenizer, as RoBERTa's, or without special tokens around texts as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<pad>", "<s>", "</s>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if special:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), add_prefix_space=False)
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **{**named, **options})


def _bert(tokenizer: Tokenizer, types: bool, options: dict[str, Any]) -> PreTrainedTokenizerFast:
    _bert_words(tokenizer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    named = {f"{name[1:-1].lower()}_token": name for name in SPECIAL}
    inputs = ["input_ids", "token_type_ids", "attention_mask"] if types else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **{**named, **options})


def _bert_words(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
