#!/usr/bin/env python3
"""Write test/data/tokenizer: four small tokenizers, and what the Hugging Face `tokenizers` package makes of some texts.

    pip install tokenizers==0.23.3
    python scripts/make_tokenizer_fixtures.py [--verify]    # --verify: encode the stored texts again and compare

A folder each: tokenizer.json and expected.jsonl, one object a line: text, ids, offsets (bytes), ids_special,
offsets_special, decoded, decoded_skip_special.
"""
import argparse
import json
import random
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PLACE = Path(__file__).resolve().parent.parent / "test" / "data" / "tokenizer"
SENTENCES = """The mason lays one small stone beside another until the floor is covered.
A ship's log from 1847 says: "wind from the north, 12 knots; we'll reach harbour by night."
She doesn't know whether they've eaten the other half of the apple, or whether he'd hidden it.
In the garden there are 365 pebbles, 24 lanterns and 7 gates; nobody has counted the leaves.
Über die Brücke führt ein schmaler Weg zum Café, où l'été dure jusqu'à minuit.
def area(width, height):\n    return width * height  # in metres
The stone that the mason lays is the stone that the other mason cut, and the floor is their floor.""".split("\n")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
PIECES = ["the ", "stone", " mason", "'s", "'S", "'ſ", " ", "  ", "   ", "\n", "\r\n", "\t", "12", "3456", "½", "Ⅷ", "é", "e\u0301",
          "\u0301", "ß", "İ", "ﬁ", "北京", "가\u11a8", "한", "か\u3099", "😀", "👨‍👩‍👧", "\u00a0", "\u3000", "…", "<|end|>", "<s>", "</s>",
          "<unk>", "<pad>", "<mask>", "maso", "▁", "_", "\x00", "\u200d", "\ufffd", "a", "Z", ".", ","]


def byte_level():
    """As Llama 3 and Qwen: NFC, a Split, ByteLevel; special tokens around; spaces cut off the offsets."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 340, ["<s>", "<|end|>"], pre_tokenizers.ByteLevel.alphabet())
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])
    t.add_tokens([AddedToken("maso", single_word=True, normalized=True), AddedToken("<pad>", normalized=False)])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
        single="<s> $A <|end|>", special_tokens=[("<s>", t.token_to_id("<s>")), ("<|end|>", t.token_to_id("<|end|>"))])])
    return t


def digits():
    """As SmolLM2, with a space before each piece and bytes that have no token."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=True)])
    t.decoder = decoders.ByteLevel()
    train(t, 200, ["<|end|>"], [])
    return t


def sentencepiece():
    """As Llama 2: no pre-tokenizer, ▁ for spaces, bytes for characters that have no token."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(Regex("▁[^▁]*"), "isolated")
    train(t, 520, ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)], [])
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])
    return from_description(t, lambda d: d.update(pre_tokenizer=None, added_tokens=d["added_tokens"][:3]))


def metaspace():
    """As newer Mistral and Llama files: the Metaspace pre-tokenizer and decoder, and an unknown token."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    t.decoder = decoders.Metaspace(prepend_scheme="first", split=True)
    train(t, 220, ["<unk>", "<s>", "</s>"], [])
    return t


BUILDERS = {"byte-level": byte_level, "digits": digits, "sentencepiece": sentencepiece, "metaspace": metaspace}


def train(tokenizer, size, special, alphabet):
    tokenizer.train_from_iterator(SENTENCES * 3, trainers.BpeTrainer(vocab_size=size, special_tokens=special,
                                                                     initial_alphabet=alphabet, show_progress=False))


def from_description(tokenizer, change):
    description = json.loads(tokenizer.to_str())
    change(description)
    return Tokenizer.from_str(json.dumps(description))


def texts():
    rng = random.Random(20261)
    mixed = ["".join(rng.choice(PIECES) for _ in range(rng.choice([2, 4, 8, 16, 40]))) for _ in range(36)]
    return ["", " ", "a", *SENTENCES, *PIECES, *mixed, "the stone " * 20, "a" * 150, " " * 90 + "x", "北" * 30]


def expect(tokenizer, text):
    at = [0]
    for character in text:
        at.append(at[-1] + len(character.encode("utf-8")))
    plain, special = (tokenizer.encode(text, add_special_tokens=flag) for flag in (False, True))
    return {
        "text": text,
        "ids": plain.ids,
        "offsets": [[at[b], at[e]] for b, e in plain.offsets],
        "ids_special": special.ids,
        "offsets_special": [[at[b], at[e]] for b, e in special.offsets],
        "decoded": tokenizer.decode(plain.ids, skip_special_tokens=False),
        "decoded_skip_special": tokenizer.decode(special.ids, skip_special_tokens=True),
    }


def write():
    for name, build in BUILDERS.items():
        folder = PLACE / name
        folder.mkdir(parents=True, exist_ok=True)
        build().save(str(folder / "tokenizer.json"), pretty=False)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        lines = [json.dumps(expect(tokenizer, text), separators=(",", ":")) for text in texts()]
        (folder / "expected.jsonl").write_text("\n".join(lines) + "\n")


def verify():
    wrong = 0
    for name in BUILDERS:
        tokenizer = Tokenizer.from_file(str(PLACE / name / "tokenizer.json"))
        for line in (PLACE / name / "expected.jsonl").read_text().splitlines():
            wrong += expect(tokenizer, json.loads(line)["text"]) != json.loads(line)
    print(f"{wrong} encodings differ")
    return wrong != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--verify", action="store_true")
    if parser.parse_args().verify:
        sys.exit(verify())
    write()


if __name__ == "__main__":
    main()
