"""tokenizer.py TRAIN: tokenizer.json files whose rules never end, grow without bound or take memory without use."""
import json

from harness import ROOT, program, require, workspace
from limits import accepted, refused

train, _ = program()
ours = json.loads((ROOT / "test/data/tokenizer/byte-level/tokenizer.json").read_text())
LINE = json.dumps("a" * 4000 + "b" + " c" * 1000).encode() + b"\n"


def changed(**parts):
    return {**ours, **parts}


def split(pattern):
    return changed(pre_tokenizer={"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})


def rules(*steps):
    return changed(normalizer={"type": "Sequence", "normalizers": list(steps)})


def replace(old, new):
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def model(**parts):
    return changed(model={**ours["model"], **parts})


def with_token(**parts):
    token = {"id": 0, "content": "x", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True, **parts}
    return changed(added_tokens=ours["added_tokens"] + [token])


vocabulary = ours["model"]["vocab"]
refusals = {
    "alternatives that overlap": (split("(a|a|aa)+$"), ["tokenizer.json", "(a|a|aa)+$"]),
    "repeats inside repeats": (split("(?:a*)*(?:a*)*$c"), ["tokenizer.json", "a*"]),
    "a backreference tried everywhere": (split(r"(a*)*\1d"), ["tokenizer.json"]),
    "a pattern of a million characters": (split("a" * 1_000_000), ["tokenizer.json", "1000000 bytes"]),
    "groups nested without end": (split("(" * 20_000 + "a" + ")" * 20_000), ["tokenizer.json"]),
    "a repeat of repeats": (split("(?:(?:(?:a{1000}){1000}){1000})"), ["tokenizer.json"]),
    "rules that feed each other": (rules(*[replace("a", "aa")] * 60), ["tokenizer.json", "Replace", "grows beyond"]),
    "rules that feed each other by turns": (rules(*[replace("a", "bb"), replace("b", "aa")] * 30),
                                            ["tokenizer.json", "Replace", "grows beyond"]),
    "a rule with a text of a megabyte": (rules(replace("a", "b" * 1_000_000)), ["tokenizer.json", "grows beyond"]),
    "a million rules": (rules(*[replace("a", "b")] * 100_000), ["tokenizer.json", "100000"]),
    "an id of 2^26": (model(vocab={**vocabulary, "zz": 1 << 26}), ["tokenizer.json", "67108864"]),
    "an id of 2^63": (model(vocab={**vocabulary, "zz": 1 << 63}), ["tokenizer.json", "9223372036854775808"]),
    "an id of -1": (model(vocab={**vocabulary, "zz": -1}), "tokenizer.json"),
    "an id that is no whole number": (model(vocab={**vocabulary, "zz": 1.5}), "tokenizer.json"),
    "an added token of a megabyte": (with_token(content="x" * 1_000_000), ["tokenizer.json", "1000000 bytes"]),
    "an added token's id of 2^40": (with_token(content="zz", id=1 << 40), "tokenizer.json"),
    "special tokens without end": (changed(post_processor={
        "type": "TemplateProcessing", "pair": [], "single": [{"SpecialToken": {"id": "s", "type_id": 0}},
                                                             {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"s": {"id": "s", "ids": [1] * 1_000_000, "tokens": ["s"]}}}), "tokenizer.json"),
}

with workspace() as place:
    for number, (what, (description, named)) in enumerate(refusals.items()):
        folder = place / f"refused-{number}"
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(description))
        output = refused(train, what, ["tokenize", folder], 4, named, stdin=LINE, memory=2 << 30)
        require(len(output) < 4000, f"{what}: the message is short", output[:4000])

    spaces = json.dumps(" " * 5_000_000).encode() + b"\n"
    for side in ("right", "left"):
        token = with_token(content="  ", id=len(vocabulary), rstrip=side == "right", lstrip=side == "left")
        folder = place / side
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps({**token, "added_tokens": token["added_tokens"][-1:]}))
        what = f"a token of white space that takes the white space on its {side}"
        if side == "right":
            refused(train, what, ["tokenize", folder], 4, ["tokenizer.json", '"  "'], stdin=spaces)
        else:
            accepted(train, what, ["tokenize", folder], stdin=spaces)
