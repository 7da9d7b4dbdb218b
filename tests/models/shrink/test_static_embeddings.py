"""Static embeddings: each token's vector by the definition, and the table as a model that can be trained."""

import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import nn

from limbeck.models import load_model
from limbeck.models import shrink as text


@pytest.fixture(scope="module")
def encoder(wordpiece, build):
    return build("Bert", vocab_size=len(wordpiece))


@pytest.fixture(scope="module")
def sentence_encoder(encoder, wordpiece, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    encoder.save_pretrained(folder)
    wordpiece.save_pretrained(folder)
    return SentenceTransformer(str(folder), device="cpu")  # adds mean pooling


def ordinary(tokenizer):
    return [index for index in range(len(tokenizer)) if index not in tokenizer.all_special_ids]


def table(static):
    return static[0].embedding.weight.detach()


def alone(encoder, tokenizer, pool):
    """One token at a time between [CLS] and [SEP]."""
    rows = []
    for index in ordinary(tokenizer):
        ids = torch.tensor([[tokenizer.cls_token_id, index, tokenizer.sep_token_id]])
        with torch.no_grad():
            rows.append(pool(encoder(ids).last_hidden_state[0]))
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_definition(pooling, encoder, wordpiece):
    static = text.static_embeddings(encoder, wordpiece, dimensions=8, sif=1e-2, pooling=pooling)
    vectors = alone(encoder, wordpiece, (lambda t: t.mean(0)) if pooling == "mean" else (lambda t: t[0]))
    centred = (vectors - vectors.mean(0)).double()
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    rank = torch.arange(1, len(vectors) + 1)
    probability = 1 / (rank + 1) / (1 / (rank + 1)).sum()
    expected = u[:, :8] * s[:8] * (1e-2 / (1e-2 + probability))[:, None]
    found = table(static)[ordinary(wordpiece)].double()
    assert torch.allclose(found @ found.T, expected @ expected.T, atol=1e-5)  # axes may be mirrored
    assert not table(static)[wordpiece.all_special_ids].any()


def test_a_sentence_encoder_pools_itself(sentence_encoder, encoder, wordpiece):
    by_itself = text.static_embeddings(sentence_encoder, dimensions=None)
    assert torch.allclose(table(by_itself), table(text.static_embeddings(encoder, wordpiece, dimensions=None)), atol=1e-6)
    assert table(by_itself).shape == (len(wordpiece), 32)


def test_probabilities_from_texts(encoder, wordpiece):
    unweighted = text.static_embeddings(encoder, wordpiece, dimensions=None, sif=1e9)
    counted = text.static_embeddings(encoder, wordpiece, dimensions=None, sif=0.5, texts=["river river river bridge"])
    for word, weight in (("river", 0.5 / (0.5 + 0.75)), ("bridge", 0.5 / (0.5 + 0.25)), ("letter", 1)):
        row = wordpiece.convert_tokens_to_ids(word)
        assert torch.allclose(table(counted)[row], weight * table(unweighted)[row], atol=1e-6)


def test_saved_and_loaded(encoder, wordpiece, sentences, tmp_path):
    static = text.static_embeddings(encoder, wordpiece, dimensions=8)
    static.save(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    assert (loaded.encode(sentences) == static.encode(sentences)).all()
    assert loaded.encode("river").shape == (8,)


def test_a_text_is_the_mean_of_its_tokens_however_long(encoder, wordpiece):
    wordpiece.backend_tokenizer.enable_truncation(4)
    static = text.static_embeddings(encoder, wordpiece, dimensions=8)
    wordpiece.backend_tokenizer.no_truncation()
    ids = wordpiece("the river under the old bridge", add_special_tokens=False)["input_ids"]
    expected = table(static)[ids].mean(0)
    assert torch.allclose(torch.tensor(static.encode("the river under the old bridge")), expected, atol=1e-6)


def test_a_tokenizer_without_the_letter_a(build):
    from tokenizers import Tokenizer, models, processors

    reader = Tokenizer(models.BPE({"b": 0, "[E]": 1, "[unused0]": 2}, []))
    reader.add_special_tokens(["[E]"])
    reader.post_processor = processors.TemplateProcessing(single="$A [E]", special_tokens=[("[E]", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=reader)
    encoder = build("Bert", vocab_size=3)
    static = text.static_embeddings(encoder, tokenizer, dimensions=None, sif=1e9)
    with torch.no_grad():
        expected = encoder(torch.tensor([[0, 1]])).last_hidden_state[0].mean(0)
    assert torch.allclose(table(static)[0], expected, atol=1e-5)
    assert not table(static)[1:].any()  # neither special tokens nor unused ones say anything


def test_the_table_as_a_model(encoder, wordpiece, sentences):
    static = text.static_embeddings(encoder, wordpiece, dimensions=8)
    student = text.StaticEncoder(static)
    batch = wordpiece([*sentences, ""], padding=True, return_tensors="pt")
    vectors = student(**batch)
    assert torch.allclose(vectors[:-1], torch.tensor(static.encode(sentences)), atol=1e-6)
    assert not vectors[-1].any()
    without_padding = student(torch.tensor([[wordpiece.convert_tokens_to_ids("river")]]))
    assert torch.allclose(without_padding[0], table(static)[wordpiece.convert_tokens_to_ids("river")])


def test_half_precision_halves_the_file_and_comes_back_in_float32(encoder, wordpiece, sentences, tmp_path):
    student = text.StaticEncoder(text.static_embeddings(encoder, wordpiece, dimensions=8), half=True)
    assert student.embedding.weight.dtype == torch.float32  # what is trained
    student.save_pretrained(tmp_path / "half")
    held = load_file(next((tmp_path / "half").rglob("model.safetensors")))["embedding.weight"]
    assert torch.equal(held, student.embedding.weight.half())
    batch = wordpiece(list(sentences), padding=True, return_tensors="pt")
    plain = SentenceTransformer(str(tmp_path / "half"), device="cpu").encode(list(sentences))
    assert torch.allclose(torch.tensor(plain).float(), student(**batch), atol=1e-3)
    again = load_model(tmp_path / "half")
    assert torch.equal(again.embedding.weight, held.float())
    again.save_pretrained(tmp_path / "again")  # as it came
    assert torch.equal(load_file(next((tmp_path / "again").rglob("model.safetensors")))["embedding.weight"], held)


def test_what_the_model_learns_the_sentence_transformer_says(encoder, wordpiece, sentences):
    static = text.static_embeddings(encoder, wordpiece, dimensions=8)
    student, wanted = text.StaticEncoder(static), torch.nn.functional.normalize(torch.randn(len(sentences), 8), dim=-1)
    batch = wordpiece(list(sentences), padding=True, return_tensors="pt")
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    for _ in range(60):
        loss = (student(**batch) - wanted).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    assert torch.allclose(torch.tensor(static.encode(sentences)), wanted, atol=0.3)
    assert not table(static)[wordpiece.all_special_ids].any()  # they are left out, so that nothing is learned for them


def test_the_encoder_stays_as_it_is(sentence_encoder, wordpiece):
    sentence_encoder.train()
    before = sentence_encoder.tokenizer.backend_tokenizer.to_str()
    text.static_embeddings(sentence_encoder, dimensions=4)
    assert sentence_encoder.training
    assert sentence_encoder.tokenizer.backend_tokenizer.to_str() == before
    sentence_encoder.eval()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"dimensions": 33}, "dimensions=33 must be between 1 and 32"),
        ({"sif": 0}, "sif and batch_size must be positive"),
        ({"pooling": "max"}, "pooling 'mean' or 'cls'"),
        ({"tokenizer": None}, "an encoder with its fast tokenizer; got NoneType"),
    ],
)
def test_refusals(args, message, encoder, wordpiece):
    with pytest.raises(ValueError, match=message):
        text.static_embeddings(encoder, **{"tokenizer": wordpiece} | args)


def test_a_model_without_a_table():
    with pytest.raises(ValueError, match="no StaticEmbedding as its first module"):
        text.StaticEncoder(nn.Sequential(nn.Linear(2, 2)))


def test_an_absent_package_is_one_line_with_the_command(encoder, wordpiece, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"^sentence_transformers is not installed: pip install sentence-transformers$"):
        text.static_embeddings(encoder, wordpiece)
