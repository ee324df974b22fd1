"""A small tokenizer like Llama's: it begins a text with <s>, marks blanks, and can have gaps in its ids."""

from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!:;'()<>|/-_$%&@#*+=\n"


def llama_like(bos=True, hole=0):
    """A tokenizer of single characters; ``hole`` ids before the end token's belong to none."""
    tokens = ["<unk>", "<s>", "▁", *LETTERS, "▁a", "▁t"]
    vocabulary = {token: i for i, token in enumerate(tokens)} | {"</s>": len(tokens) + hole}
    merges = [("▁", "a"), ("▁", "t")]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=False))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    if bos:
        ids = [("<s>", vocabulary["<s>"])]
        template = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=ids)
        backend.post_processor = template
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
