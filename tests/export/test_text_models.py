"""Models of texts as ONNX files: any number of texts of any length, padded or not, in float32 and in int8."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import runs
from limbeck.core.model_io import logits_of
from limbeck.evaluation import Verdict
from limbeck.export import ExportError, exporter, formats
from limbeck.export.onnx.attention import PAIRS
from limbeck.export.onnx.format import TEXT_OPSET
from limbeck.export.pytorch import PyTorch
from tests.docs.blocks import run_block

transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")
WORDS = 2000


def bert(kind: str = "BertForSequenceClassification", **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=WORDS, max_position_embeddings=64, initializer_range=0.2, **shape | changes)
    made: nn.Module = getattr(transformers, kind)(config)
    return made.eval()


def tokens(rows: int, length: int, *, padding: int = 0) -> dict[str, Tensor]:
    """Random texts of `length` tokens with `padding` after them."""
    ids = torch.randint(5, WORDS, (rows, length), generator=torch.Generator().manual_seed(length))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    return {name: nn.functional.pad(part, (0, padding)) for name, part in inputs.items()}


def expected(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    with torch.no_grad():
        found = logits_of(model(**inputs))
    assert isinstance(found, Tensor)
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    folder, model = tmp_path_factory.mktemp("written"), bert()
    for precision in ("fp32", "int8"):
        formats.get("onnx").write(model, folder / f"{precision}.onnx", tokens(2, 12), precision=precision)
    return model, folder


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 2), (3, 9), (5, 64)])
def test_a_file_takes_any_number_of_texts_of_any_length(written: tuple[nn.Module, Path], rows: int, length: int) -> None:
    model, folder = written
    inputs = tokens(rows, length)
    assert torch.allclose(formats.get("onnx").open(folder / "fp32.onnx")(inputs), expected(model, inputs), atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_padding_changes_no_result(written: tuple[nn.Module, Path], precision: str) -> None:
    runner = formats.get("onnx").open(written[1] / f"{precision}.onnx")
    plain, padded = runner(tokens(1, 9)), runner(tokens(1, 9, padding=21))
    # in int8 the scale of an activation is that of the whole batch, padding too
    assert torch.allclose(plain, padded, atol=1e-5 if precision == "fp32" else 0.1 * float(plain.abs().max()))


def test_int8_is_close_and_much_smaller(written: tuple[nn.Module, Path]) -> None:
    model, folder = written
    inputs = tokens(200, 12)
    whole, small = expected(model, inputs), formats.get("onnx").open(folder / "int8.onnx")(inputs)
    assert (whole.argmax(-1) == small.argmax(-1)).double().mean() > 0.95
    sizes = [(folder / f"{precision}.onnx").stat().st_size for precision in ("int8", "fp32")]
    assert sizes[0] < sizes[1] / 2.5
    kept = {each.data_type for each in onnx.load(folder / "int8.onnx").graph.initializer if len(each.dims) == 2}
    assert onnx.TensorProto.FLOAT not in kept
    assert onnx.TensorProto.INT8 in kept


def test_what_a_file_says_of_itself(written: tuple[nn.Module, Path]) -> None:
    content = onnx.load(written[1] / "fp32.onnx")
    axes = {each.name: [axis.dim_param for axis in each.type.tensor_type.shape.dim] for each in content.graph.input}
    assert axes == {name: ["batch", "tokens"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert {each.version for each in content.opset_import if not each.domain} == {TEXT_OPSET}
    kind = formats.get("onnx")
    runner = kind.open(written[1] / "fp32.onnx")
    assert (runner.shape, runner.dtype, kind.opset_of(runner)) == ((), torch.int64, TEXT_OPSET)
    with pytest.raises(ExportError, match=r"the file takes input_ids, .*; missing: attention_mask, token_type_ids"):
        runner({"input_ids": torch.ones(1, 3, dtype=torch.int64)})
    item = runner.like(torch.rand(1, 7))
    assert isinstance(item, Mapping)
    assert {name: (tuple(part.shape), int(part.sum())) for name, part in item.items()} == {
        "input_ids": ((1, 7), 0),
        "attention_mask": ((1, 7), 7),
        "token_type_ids": ((1, 7), 0),
    }


def test_attention_reads_tokens_and_the_mask_of_padding_as_they_are(written: tuple[nn.Module, Path]) -> None:
    nodes = onnx.load(written[1] / "fp32.onnx").graph.node
    (attention,) = (node for node in nodes if node.op_type == "Attention")
    assert {each.name: each.i for each in attention.attribute}["q_num_heads"] == 4
    assert attention.input[3] == PAIRS
    assert not [node for node in nodes if node.op_type in ("Transpose", "Reshape", "Range", "GatherND")]


class Nearby(nn.Module):
    """Attention to the tokens beside one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(WORDS, 16), nn.Linear(16, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.table(input_ids)
        place = torch.arange(input_ids.shape[1])
        near = ((place[:, None] - place).abs() < 3)[None, None] & attention_mask.bool()[:, None, None, :]
        parts = states.unflatten(-1, (2, 8)).transpose(1, 2)
        mixed = nn.functional.scaled_dot_product_attention(parts, parts, parts, attn_mask=near)
        logits: Tensor = self.head(mixed.transpose(1, 2).flatten(2)[:, 0])
        return logits


def test_a_mask_that_hides_more_than_padding_stays(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Nearby().eval()
    inputs = {name: part for name, part in tokens(3, 12, padding=2).items() if name != "token_type_ids"}
    formats.get("onnx").write(model, tmp_path / "near.onnx", inputs)
    (attention,) = (node for node in onnx.load(tmp_path / "near.onnx").graph.node if node.op_type == "Attention")
    assert attention.input[3] != PAIRS
    assert torch.allclose(formats.get("onnx").open(tmp_path / "near.onnx")(inputs), expected(model, inputs), atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])  # GPT-2 multiplies [B·T, D], made by the reshape that joins the heads
def test_a_language_model_is_written_whatever_shape_its_projections_read(tmp_path: Path, kind: str) -> None:
    language_models = pytest.importorskip("tests.data.sources.language_models")
    model = getattr(language_models, kind)()
    inputs = {name: part % 50 for name, part in tokens(3, 9, padding=4).items() if name != "token_type_ids"}
    formats.get("onnx").write(model, tmp_path / "model.onnx", inputs)
    found, real = formats.get("onnx").open(tmp_path / "model.onnx")(inputs), inputs["attention_mask"].bool()
    assert torch.allclose(found[real], expected(model, inputs)[real], atol=1e-5)


def test_answers_in_contexts(tmp_path: Path) -> None:
    model = bert("BertForQuestionAnswering")
    formats.get("onnx").write(model, tmp_path / "reader.onnx", tokens(2, 12))
    inputs = tokens(3, 20, padding=4)
    found = formats.get("onnx").open(tmp_path / "reader.onnx")(inputs)
    assert found.shape == (3, 2, 24)
    assert torch.allclose(found, expected(model, inputs), atol=1e-5)


def test_mobilebert_in_int8(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.MobileBertConfig(
        vocab_size=WORDS, hidden_size=32, embedding_size=16, intra_bottleneck_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    model = transformers.MobileBertForSequenceClassification(config).eval()
    formats.get("onnx").write(model, tmp_path / "m.onnx", tokens(2, 12), precision="int8")
    runner = formats.get("onnx").open(tmp_path / "m.onnx")
    for inputs in (tokens(2, 3), tokens(2, 17, padding=3)):
        whole = expected(model, inputs)
        assert torch.allclose(runner(inputs), whole, atol=0.1 * float(whole.abs().max()))


def test_a_table_of_embeddings_has_eight_bits(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    from limbeck.models.architectures.sentence_encoder import wrap_sentence_transformer

    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(500))])}
    tokenizer = transformers.BertTokenizerFast(vocab=words)
    modules = __import__("sentence_transformers.sentence_transformer.modules", fromlist=["StaticEmbedding"])
    torch.manual_seed(0)
    table = modules.StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=torch.randn(len(words), 64))
    model = wrap_sentence_transformer(library.SentenceTransformer(modules=[table], device="cpu"))
    inputs = dict(tokenizer(["1 2 3", "77 4 5 6 7 8"], padding=True, return_tensors="pt"))
    sizes = {}
    for precision in ("fp32", "int8"):
        path = tmp_path / f"{precision}.onnx"
        formats.get("onnx").write(model, path, inputs, precision=precision)
        runner = formats.get("onnx").open(path)
        assert runner.names == ("input_ids", "attention_mask")  # types are ignored by the model, so no file asks for them
        near = torch.cosine_similarity(runner(inputs), expected(model, inputs))
        assert float(near.min()) > (0.99999 if precision == "fp32" else 0.999)
        sizes[precision] = path.stat().st_size
    assert sizes["int8"] < sizes["fp32"] / 3


def test_a_sentence_encoder_pools_as_it_does_in_pytorch(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    from limbeck.models.architectures.sentence_encoder import wrap_sentence_transformer
    from tests.runs.test_text_runs import FILLER, teacher

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER]
    teacher(tmp_path / "bert", words, transformers.BertModel, layers=1, hidden=32, tokens=32)
    model = wrap_sentence_transformer(library.SentenceTransformer(str(tmp_path / "bert"), device="cpu")).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")
    inputs = dict(tokenizer(["the film", "a story of the very cast"], padding=True, return_tensors="pt"))
    formats.get("onnx").write(model, tmp_path / "encoder.onnx", inputs)
    runner = formats.get("onnx").open(tmp_path / "encoder.onnx")
    assert torch.allclose(runner(inputs), expected(model, inputs), atol=1e-5)
    alone = dict(tokenizer(["the film"], return_tensors="pt"))
    assert torch.allclose(runner(alone), runner(inputs)[:1], atol=1e-5)


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"'executorch' does not support text models.*Use 'onnx'"):
        formats.get("executorch").write(bert(), tmp_path / "x.pte", tokens(2, 12))
    with pytest.raises(ExportError, match=r"BertModel returns no single tensor|does not compute|returns"):
        formats.get("onnx").write(NoLogits(), tmp_path / "x.onnx", tokens(2, 12))
    with pytest.raises(ExportError, match=r"does not run on tokens \(input_ids, attention_mask, token_type_ids\)"):
        formats.get("onnx").write(OneInput(), tmp_path / "x.onnx", tokens(2, 12))
    assert not list(tmp_path.iterdir())


class NoLogits(nn.Module):
    def forward(self, **inputs: Tensor) -> str:
        return "none"


class OneInput(nn.Module):
    def forward(self, input_ids: Tensor) -> Tensor:
        return input_ids.float()


def test_a_text_recipe_ships_its_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.runs.test_text_runs import BAD, FILLER, GOOD, recipe, sentences, teacher

    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: shape[0])
    for name, count, seed in (("train", 160, 0), ("test", 81, 1)):
        texts, labels = sentences(count, seed)
        pq.write_table(pa.table({"sentence": texts, "label": labels}), tmp_path / f"{name}.parquet")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER, *GOOD, *BAD]
    kind = transformers.BertForSequenceClassification
    teacher(tmp_path / "teacher", words, kind, layers=2, hidden=32, tokens=32)
    shipped = recipe(
        tmp_path,
        teacher={"model": "transformers", "args": {"name_or_path": str(tmp_path / "teacher")}},
        student={"from_teacher": {"init_from_teacher": {"layers": [1]}}},
        terms=["hard_targets"],
        metric="matthews",
        control=False,
        export={"formats": ["onnx"], "precisions": ["fp32", "int8"], "teacher": False},
    )
    verdict = runs.run_recipe(shipped, tmp_path / "run", progress=False)
    by = {(each.model, each.format, each.precision): each for each in verdict.exports}
    assert list(by) == [("student", *kind) for kind in (("pytorch", "fp32"), ("onnx", "fp32"), ("onnx", "int8"))]
    assert {each.error for each in verdict.exports} == {None}
    student = by["student", "onnx", "fp32"]
    assert student.metric == pytest.approx(verdict.student.metric)
    assert student.input == "a text of 11 tokens"
    assert student.peak_memory_bytes == 11
    assert student.opset == TEXT_OPSET
    assert student.max_abs_diff is not None
    assert student.max_abs_diff < 1e-4
    assert by["student", "onnx", "int8"].metric == pytest.approx(student.metric, abs=0.1)
    assert len(Verdict.load(tmp_path / "run").exports) == 3
    monkeypatch.setattr("limbeck.export.costs.peak_memory", lambda kind, path, shape: shape[0])
    costs = runs.profile_run(tmp_path / "run")
    assert costs["student onnx int8"].peak_memory_bytes == 32
    assert costs["student pytorch fp32"].macs
    file, test = tmp_path / "run" / "exports" / "student-fp32.onnx", str(tmp_path / "test.parquet")
    found = runs.evaluate_file(file, test).as_json()  # with the run's tokenizer and metric
    assert (found["metric"], found["items"]) == ("matthews", 81)
    assert found["matthews"] == pytest.approx(student.metric)
    monkeypatch.chdir(tmp_path / "run" / "exports")
    said = run_block("devices.md", "AutoTokenizer")  # as the guide shows it, with a text that is too long
    assert said["tokens"]["input_ids"].shape == (2, said["info"]["max_tokens"])
    assert len(said["answers"]) == 2
    assert set(said["answers"]) <= set(said["info"]["classes"])
    assert said["info"]["figures"]["value"] == pytest.approx(verdict.student.metric)
    assert said["info"]["metric"] == "matthews"
    moved = tmp_path / "student.onnx"
    shutil.copy(file, moved)
    with pytest.raises(runs.RunError, match=r"student.onnx reads texts, .*name it with --tokenizer"):
        runs.evaluate_file(moved, test)
    options = runs.FileOptions(metric="matthews", tokenizer=str(tmp_path / "teacher"), max_length=32)
    assert runs.evaluate_file(moved, test, options).as_json()["matthews"] == pytest.approx(student.metric)
    with pytest.raises(runs.RunError, match=r"digits: its inputs are 1×8×8, and .*student.onnx reads texts"):
        runs.evaluate_file(moved, "digits", options)


def test_memory_of_a_text_in_a_fresh_process(tmp_path: Path) -> None:
    from limbeck.export import peak_memory

    model = bert(hidden_size=128, intermediate_size=512)
    PyTorch().write(model, tmp_path / "model", tokens(2, 12))
    weights = sum(parameter.nbytes for parameter in model.parameters())
    assert peak_memory(PyTorch(), tmp_path / "model", (12,)) > weights / 2
