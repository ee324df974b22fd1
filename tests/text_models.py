"""Tiny text models with random weights, saved in the layout of pretrained models on the hub."""

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)

WORDS = ("<pad>", "[CLS]", "[SEP]", "[UNK]", "a", "b", "c", "d", "e", "ab", "Ġ")


def save_text_model(folder, kind, *, max_positions=64, byte_level=False, num_labels=None):
    """Saves a model of two layers and width 16; ``num_labels`` for a classification head."""
    import torch

    shape = {"vocab_size": len(WORDS), "max_position_embeddings": max_positions, "pad_token_id": 0}
    layers = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    wide = {"initializer_range": 0.5}  # so that layers matter
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if num_labels is not None:
            kinds = {"bert": BertForSequenceClassification, "roberta": RobertaForSequenceClassification}
            settings = {**shape, **layers, **wide, "num_labels": num_labels, "problem_type": "regression"}
            model = kinds[kind](kinds[kind].config_class(**settings))
        elif kind == "bert":
            model = BertModel(BertConfig(**shape, **layers, **wide))
        elif kind == "roberta":
            model = RobertaModel(RobertaConfig(**shape, **layers, **wide, bos_token_id=1, eos_token_id=2))
        elif kind == "distilbert":
            model = DistilBertModel(DistilBertConfig(**shape, **wide, dim=16, n_layers=2, n_heads=2, hidden_dim=32))
        else:
            gpt2 = GPT2Config(vocab_size=len(WORDS), n_positions=max_positions, n_embd=16, n_layer=2, n_head=2, **wide)
            gpt2.bos_token_id = gpt2.eos_token_id = 2
            model = GPT2Model(gpt2)
    model.save_pretrained(folder)
    _tokenizer(byte_level).save_pretrained(folder)


def _tokenizer(byte_level):
    """Words, or bytes with merges as in RoBERTa, between [CLS] and [SEP]; it states no maximal length."""
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    if byte_level:
        tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "b")], unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )
