"""A smaller vocabulary: the same tokens and answers on the texts it was made for, pieces for everything else."""

import pytest
import torch
import transformers

from limbeck.models import shrink as text
from limbeck.models.shrink.tokenizer_pieces import derivation

KINDS = ["wordpiece", "bpe", "unigram"]
NEW = "the snow came over the mountain"  # words of which the sentences hold only the letters


@pytest.fixture
def tokenizer(request):
    return request.getfixturevalue(request.param)


def model_for(tokenizer, build, family="Bert", head="ForMaskedLM"):
    special = {"pad_token_id": tokenizer.pad_token_id}
    if family == "Roberta":
        special |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return build(family, head, vocab_size=len(tokenizer), **special)


def pieces(tokenizer, sentences):
    return [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(list(sentences))["input_ids"]]


def said(model, tokenizer, sentences):
    batch = tokenizer(list(sentences), padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits, batch["attention_mask"].bool()


@pytest.mark.parametrize("tokenizer", KINDS, indirect=True)
def test_on_its_texts_nothing_changes(tokenizer, build, sentences):
    model, texts = model_for(tokenizer, build), sentences[:4]
    trimmed, reader, report = text.trim_vocabulary(model, tokenizer, texts)
    assert pieces(reader, texts) == pieces(tokenizer, texts)
    (ours, mask), (theirs, _) = said(trimmed, reader, texts), said(model, tokenizer, texts)
    rows = [tokenizer.convert_tokens_to_ids(name) for name in reader.convert_ids_to_tokens(range(len(reader)))]
    assert torch.allclose(ours[mask], theirs[mask][:, rows], atol=1e-5)
    assert [reader.decode(ids) for ids in reader(texts)["input_ids"]] == [
        tokenizer.decode(i) for i in tokenizer(texts)["input_ids"]
    ]
    assert report.before == len(tokenizer) > report.after == len(reader) == trimmed.config.vocab_size
    assert (report.whole, report.unknown, report.longer) == (1, 0, 1)


@pytest.mark.parametrize("tokenizer", KINDS, indirect=True)
def test_saved_and_loaded(tokenizer, build, sentences, tmp_path):
    trimmed, reader, _ = text.trim_vocabulary(model_for(tokenizer, build), tokenizer, sentences[:4])
    trimmed.save_pretrained(tmp_path)
    reader.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert loaded([*sentences, NEW])["input_ids"] == reader([*sentences, NEW])["input_ids"]
    assert {name: getattr(loaded, name) for name in ("pad_token_id", "unk_token_id", "mask_token_id")} == {
        name: getattr(reader, name) for name in ("pad_token_id", "unk_token_id", "mask_token_id")
    }
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(said(model, loaded, sentences[:4])[0], said(trimmed, reader, sentences[:4])[0])
    assert reader.name_or_path == tokenizer.name_or_path


@pytest.mark.parametrize("tokenizer", KINDS, indirect=True)
def test_unknown_words_break_into_letters(tokenizer, build, sentences):
    model = model_for(tokenizer, build)
    size = text.trim_vocabulary(model, tokenizer, sentences)[2].after - 8
    _, reader, report = text.trim_vocabulary(model, tokenizer, sentences, size=size)
    names = reader.convert_ids_to_tokens(reader(NEW, add_special_tokens=False)["input_ids"])
    assert reader.unk_token not in names
    spelt = "".join(name.removeprefix("##") for name in names)
    assert spelt.replace("Ġ", "").replace("▁", "") == NEW.replace(" ", "")
    assert report.after == len(reader) <= size
    assert report.whole < 1 < report.longer
    assert report.unknown == 0


def test_what_has_no_letters_in_the_texts_is_unknown(wordpiece, bpe, build, sentences):
    for tokenizer, unknown in ((wordpiece, True), (bpe, False)):  # on bytes nothing is
        reader = text.trim_vocabulary(model_for(tokenizer, build), tokenizer, sentences)[1]
        ids = reader("ž", add_special_tokens=False)["input_ids"]
        assert (ids == [reader.unk_token_id]) == unknown
        assert unknown or reader.decode(ids) == "ž"


def test_the_most_frequent_tokens_stay(wordpiece, build):
    texts = ["river " * 5 + "bridge " * 3 + "letter"]
    everything = text.trim_vocabulary(model_for(wordpiece, build), wordpiece, texts)[1]
    assert {"river", "bridge", "letter"} <= everything.get_vocab().keys()
    fewer = text.trim_vocabulary(model_for(wordpiece, build), wordpiece, texts, size=len(everything) - 1)[1]
    assert everything.get_vocab().keys() - fewer.get_vocab().keys() == {"letter"}
    rarely = text.trim_vocabulary(model_for(wordpiece, build), wordpiece, texts, min_count=4)[1]
    assert everything.get_vocab().keys() - rarely.get_vocab().keys() == {"bridge", "letter"}


def test_the_report_counts(wordpiece, build):
    model = model_for(wordpiece, build, head="Model").to(torch.bfloat16)
    texts = ["river " * 5 + "bridge"]
    size = len(text.trim_vocabulary(model, wordpiece, texts)[1]) - 1
    trimmed, reader, report = text.trim_vocabulary(model, wordpiece, texts, size=size)
    tokens = len(reader("bridge", add_special_tokens=False)["input_ids"])
    assert tokens > 1
    assert report.whole == 5 / 6
    assert report.longer == (5 + tokens) / 6
    assert report.bytes_saved == 2 * 32 * (len(wordpiece) - size)  # two bytes a number
    assert trimmed.dtype == torch.bfloat16


def test_bpe_keeps_what_a_token_is_merged_from():
    ranks = {("t", "h"): 0, ("h", "e"): 1, ("th", "e"): 2, ("t", "he"): 3}
    assert derivation("the", ranks) == {"th", "the"}
    assert derivation("he", ranks) == {"he"}
    assert derivation("tx", ranks) == {"tx"}


@pytest.mark.parametrize("family", ["Bert", "Electra", "MobileBert", "ModernBert", "DistilBert"])
def test_tied_heads_of_every_kind(family, wordpiece, build, sentences):
    model, texts = model_for(wordpiece, build, family), sentences[:3]
    trimmed, reader, _ = text.trim_vocabulary(model, wordpiece, texts)
    assert trimmed.get_output_embeddings().weight is trimmed.get_input_embeddings().weight
    rows = [wordpiece.convert_tokens_to_ids(name) for name in reader.convert_ids_to_tokens(range(len(reader)))]
    wanted = ["input_ids", "attention_mask"]
    theirs = wordpiece(texts, padding=True, return_tensors="pt")
    ours = reader(texts, padding=True, return_tensors="pt")
    mask = ours["attention_mask"].bool()
    with torch.no_grad():
        before, after = (m(**{key: batch[key] for key in wanted}).logits for m, batch in ((model, theirs), (trimmed, ours)))
    assert torch.allclose(after[mask], before[mask][:, rows], atol=1e-5)


def test_roberta_keeps_the_id_from_which_positions_count(bpe, build, sentences):
    model = model_for(bpe, build, "Roberta", "ForSequenceClassification")
    trimmed, reader, _ = text.trim_vocabulary(model, bpe, sentences[:3])
    assert reader.pad_token_id == trimmed.config.pad_token_id == bpe.pad_token_id
    assert trimmed.config.eos_token_id == reader.eos_token_id
    assert torch.allclose(said(trimmed, reader, sentences[:3])[0], said(model, bpe, sentences[:3])[0], atol=1e-6)


def test_added_tokens_and_truncation_stay(wordpiece, build, sentences, tmp_path):
    wordpiece.save_pretrained(tmp_path / "own")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "own", model_max_length=7)
    tokenizer.add_tokens(["limbeck"])
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(pad_id=tokenizer.pad_token_id, pad_token="[PAD]")
    model = model_for(tokenizer, build)
    trimmed, reader, report = text.trim_vocabulary(model, tokenizer, sentences)
    assert (report.whole, report.longer) == (1, 1)
    reader.save_pretrained(tmp_path / "trimmed")
    for loaded in (reader, transformers.AutoTokenizer.from_pretrained(tmp_path / "trimmed")):
        assert len(loaded.backend_tokenizer.encode(sentences[0]).ids) == 5  # until a call sets it anew
        ids = loaded("a limbeck", add_special_tokens=False)["input_ids"]
        assert loaded.convert_ids_to_tokens(ids) == ["a", "limbeck"]
        assert max(ids) < trimmed.config.vocab_size
        assert loaded.model_max_length == 7


def test_a_template_around_the_text_has_the_new_ids(unigram, build):
    reader = text.trim_vocabulary(model_for(unigram, build), unigram, ["the river"])[1]
    ids = reader("the river")["input_ids"]
    assert reader.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]


@pytest.fixture
def spare():
    """A tokenizer whose first token no text uses, and whose special tokens have no mark."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    reader = Tokenizer(models.WordPiece({"x": 0, "a": 1, "b": 2, "?": 3, "^": 4}, unk_token="?"))
    reader.pre_tokenizer = pre_tokenizers.Whitespace()
    reader.post_processor = processors.TemplateProcessing(single="^ $A", special_tokens=[("^", 4)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=reader, pad_token="a")


def test_ids_move_together_in_tokenizer_template_padding_and_configuration(spare, build):
    model = build("Bert", vocab_size=5, pad_token_id=1)
    trimmed, reader, _ = text.trim_vocabulary(model, spare, ["b"])
    assert reader.get_vocab() == {"a": 0, "b": 1, "?": 2, "^": 3}
    assert reader.convert_ids_to_tokens(reader("b")["input_ids"]) == ["^", "b"]
    assert (reader.pad_token_id, trimmed.config.pad_token_id) == (0, 0)
    assert reader(["b b", "b"], padding=True)["input_ids"] == [[3, 1, 1], [3, 1, 0]]


def test_the_padding_token_stays_where_positions_are_counted_from_it(spare, build):
    model = build("Roberta", vocab_size=5, pad_token_id=1, bos_token_id=4, eos_token_id=4)
    trimmed, reader, _ = text.trim_vocabulary(model, spare, ["b"])
    assert reader.pad_token_id == trimmed.config.pad_token_id == 1
    with torch.no_grad():
        before, after = (m(**r("b", return_tensors="pt")).last_hidden_state for m, r in ((model, spare), (trimmed, reader)))
    assert torch.allclose(before, after, atol=1e-6)


def test_the_originals_stay(wordpiece, build, sentences):
    model = model_for(wordpiece, build)
    before, weights = wordpiece.backend_tokenizer.to_str(), {k: v.clone() for k, v in model.state_dict().items()}
    text.trim_vocabulary(model, wordpiece, sentences[:2])
    assert wordpiece.backend_tokenizer.to_str() == before
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


class InPython:
    is_fast = False


def test_refusals(wordpiece, build, sentences):
    model = model_for(wordpiece, build)
    with pytest.raises(ValueError, match="texts is empty"):
        text.trim_vocabulary(model, wordpiece, [])
    with pytest.raises(ValueError, match="size=9 is too small: special tokens and single characters alone are"):
        text.trim_vocabulary(model, wordpiece, sentences, size=9)
    with pytest.raises(ValueError, match="but the model 60: they do not belong together"):
        text.trim_vocabulary(build("Bert"), wordpiece, sentences)
    with pytest.raises(ValueError, match="InPython is not a fast tokenizer"):
        text.trim_vocabulary(model, InPython(), sentences)
    with pytest.raises(ValueError, match="no token embeddings"):
        text.trim_vocabulary(build("ViT"), wordpiece, sentences)


def test_another_kind_of_tokenizer(build, sentences):
    from tokenizers import Tokenizer, models

    reader = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(ValueError, match=r"kind WordLevel .*cannot be trimmed; WordPiece, BPE, Unigram can"):
        text.trim_vocabulary(build("Bert"), reader, sentences)


def test_characters_that_a_unigram_tokenizer_does_not_know_are_unknown_pieces(unigram) -> None:
    texts = ["a fox 😀", "😀😀 fox", "fox"]
    found = text.CorpusVocabulary.of(unigram, texts)
    kept = found.tokenizer.get_vocab()
    assert "[UNK]" in kept
    assert "😀" not in kept
    for each in texts:
        ids, expected = found.tokenizer(each)["input_ids"], unigram(each)["input_ids"]
        assert found.tokenizer.convert_ids_to_tokens(ids) == unigram.convert_ids_to_tokens(expected)
