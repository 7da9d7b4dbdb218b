"""Tiny models of many families, and tokenizers trained on a few sentences."""

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "the old house by the river was sold in the spring",
    "a river runs behind the old mill and under the stone bridge",
    "she read the letter twice and put it back into the drawer",
    "nobody knew why the bridge was closed again in the winter",
    "the miller reads every letter that comes over the river",
    "in the house there was a drawer full of letters and stones",
    "spring comes late, and the winter is long behind the mill",
    "they were reading, closing and selling: nothing else happened",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
IMAGES = {"image_size": 16, "patch_size": 8}
DISENTANGLED = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
OWN = {  # what a family needs beside SIZES
    "Electra": {"embedding_size": 16},
    "Albert": {"embedding_size": 16},
    "ModernBert": {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "cls_token_id": 3, "sep_token_id": 4},
    "DebertaV2": {"pooler_hidden_size": 32, **DISENTANGLED},
    "MobileBert": {"embedding_size": 8, "intra_bottleneck_size": 8, "intermediate_size": 16},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sentences():
    return SENTENCES


@pytest.fixture(scope="session")
def build():
    """`build("Bert", "ForMaskedLM", num_hidden_layers=2)`: a tiny model with other than initial norms and biases."""

    def made(family, head="Model", **options):
        torch.manual_seed(0)
        sizes = SIZES | OWN.get(family, {}) | options
        if family == "ViT":
            sizes = {
                name: size for name, size in sizes.items() if name not in ("vocab_size", "max_position_embeddings")
            } | IMAGES
        if family == "DistilBert":
            names = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
            names["intermediate_size"] = "hidden_dim"
            sizes = {names.get(name, name): size for name, size in sizes.items()}
        model = getattr(transformers, family + head)(getattr(transformers, f"{family}Config")(**sizes))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return model.eval()

    return made


@pytest.fixture(scope="session")
def answers():
    """What a tiny model says about fixed inputs, its last hidden state where it has no head."""

    def said(model):
        torch.manual_seed(1)
        inputs = torch.rand(2, 3, 16, 16) if model.config.model_type == "vit" else torch.randint(5, 60, (2, 9))
        with torch.no_grad():
            output = model(inputs)
        return output.logits if "logits" in output else output.last_hidden_state

    return said


@pytest.fixture(scope="session")
def wordpiece():
    """BERT's kind: lower case, ## inside words, [CLS] and [SEP] around a text."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(SENTENCES * 3, trainers.WordPieceTrainer(vocab_size=150, special_tokens=SPECIAL))
    return transformers.BertTokenizer(vocab=tokenizer.get_vocab())


@pytest.fixture(scope="session")
def bpe():
    """RoBERTa's kind: byte pair encoding on bytes, <s> and </s> around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special, alphabet = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    from json import loads

    model = loads(tokenizer.to_str())["model"]
    return transformers.RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


@pytest.fixture(scope="session")
def unigram():
    """XLM-RoBERTa's kind: a unigram language model over pieces that begin with ▁."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="[UNK]")
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
