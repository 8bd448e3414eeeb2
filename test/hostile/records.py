"""records.py TRAIN: data files that decompress to far more than their size, and blank lines without end."""
import gzip
import json

from harness import OWN_CASES, ROOT, Case, program, require, workspace
from limits import MEMORY, accepted, refused

train, _ = program()
case = Case(OWN_CASES / "llama")
TOKENIZER = ROOT / "test" / "data" / "tokenizer"
SPACE = "\u0120"  # as byte-level tokenizers write it
BLOCK = 1 << 17  # the most that one block of a zstd frame unpacks to
GB = 1 << 30


def zstd_bomb(beginning, character, size):
    """A zstd frame by hand: `beginning`, and then one character so many times, in four bytes for each 128 KiB."""
    def block(kind, length, content, last=False):
        return (length << 3 | kind << 1 | int(last)).to_bytes(3, "little") + content
    repeated = block(1, BLOCK, character) * (size // BLOCK)
    return b"\x28\xB5\x2F\xFD\x00\x38" + block(0, len(beginning), beginning) + repeated + block(1, BLOCK, character, last=True)


def gzip_bomb(beginning, character, size):
    """Members of a gzip file that follow each other."""
    return gzip.compress(beginning) + gzip.compress(character * (16 << 20)) * (size // (16 << 20))


sample = json.dumps({"input_ids": [1, 2, 3]}).encode() + b"\n"
bombs = {
    "bomb.jsonl.zst": (zstd_bomb(sample, b"x", 20 * GB), ":2:"),
    "blank.jsonl.zst": (zstd_bomb(sample, b" ", 20 * GB), ":2:"),
    "text.jsonl.zst": (zstd_bomb(sample + b'{"input_ids": "', b"y", 20 * GB), ":2:"),
    "nested.json.zst": (zstd_bomb(b"[" + sample + b",", b"[", 20 * GB), ":2:"),
    "value.json.zst": (zstd_bomb(b'{\n"input_ids": [1', b"1", 20 * GB), ":1:"),
    "bomb.jsonl.gz": (gzip_bomb(sample, b"x", 20 * GB), ":2:"),
    "nested.json.gz": (gzip_bomb(b"[" + sample + b",", b"[", 20 * GB), ":2:"),
}

with workspace() as place:
    for name, (data, line) in bombs.items():
        path = place / name
        path.write_bytes(data)
        job = train.job(place / f"job-{name}", {**case.settings(), "dataset.reference.path": path})
        output = refused(train, f"{len(data) / 1e6:.1f} MB that unpack to 20 GB, {name}", ["preprocess", job], 4,
                         [name + line, "max_record_bytes"])
        require("gradient_checkpointing" not in output, f"{name}: no other setting is blamed", output)
        path.unlink()

    path = place / "newlines.jsonl.zst"
    path.write_bytes(zstd_bomb(b"\n", b"\n", GB // 2))
    job = train.job(place / "newlines", {**case.settings(), "dataset.reference.path": path})
    output = refused(train, "half a GB of newlines", ["preprocess", job], 4, "no sample")
    require("warning: " in output and "decompressed" in output, "half a GB of newlines: a warning of what they unpack to", output)

    path = place / "lines.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"input_ids": [1, 2, 3], "note": "%s"}\n' % (b"n" * 1000) * 4000) * 20)
    job = train.job(place / "lines", {**case.settings(), "dataset.reference.path": path})
    output = accepted(train, "valid lines that pack far better than text", ["preprocess", job])
    require("warning: " in output and "lines.jsonl.gz" in output, "valid lines that pack so well: a warning names them", output)

    settings = {**case.settings(), "data.overlong": "split", "dataset.reference.type": "completion",
                "data.sequence_len": 2048}
    model = place / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({**json.loads((case.folder / "model/config.json").read_text()),
                                                   "vocab_size": 2000}))
    def tokenizer_directory(name, change=lambda description: None):
        description = json.loads((TOKENIZER / name / "tokenizer.json").read_text())
        change(description)
        folder = place / "tokenizers" / name
        folder.mkdir(parents=True)
        (folder / "tokenizer.json").write_text(json.dumps(description))
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": description["added_tokens"][0]["content"]}))
        return folder

    def merge_spaces(description):
        """Rows of 2, 4, … 128 spaces are tokens, as in the vocabularies of models."""
        vocabulary = description["model"]["vocab"]
        description["added_tokens"] = [token for token in description["added_tokens"] if token["id"] < len(vocabulary)]
        for row in (SPACE * 2 ** k for k in range(7)):
            vocabulary.setdefault(row * 2, len(vocabulary))
            if f"{row} {row}" not in description["model"]["merges"]:
                description["model"]["merges"].append(f"{row} {row}")

    path = place / "spaces.jsonl"
    path.write_text(json.dumps({"text": " " * 60_000_000}) + "\n")
    for tokenizer in (tokenizer_directory("byte-level", merge_spaces), tokenizer_directory("sentencepiece")):
        job = train.job(place / f"spaces-{tokenizer.name}", {**settings, "dataset.reference.path": path, "model.base": model,
                                                             "model.tokenizer": tokenizer})
        accepted(train, f"60 MB of spaces in a line, {tokenizer.name}", ["preprocess", job], seconds=300, memory=10 * GB, cpu=40)

    path = place / "document.txt.gz"
    path.write_bytes(gzip.compress(b"a line of a long document\n" * 100_000) * 100)
    job = train.job(place / "document", {**settings, "dataset.reference.path": path, "model.base": model,
                                         "model.tokenizer": place / "tokenizers/byte-level"})
    accepted(train, "a document of 260 MB in less memory than its tokens take", ["preprocess", job], seconds=300,
             memory=MEMORY)
