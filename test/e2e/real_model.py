"""real_model.py TRAIN: loss and greedy text of real models equal those of transformers in fp32.

stories260K and the numbers come from ../shared, SmolLM2-135M-Instruct from its PyPI package by scripts/make_smollm2.py.
"""
import json
import re
import subprocess
import sys

from harness import ROOT, environment, program, require, skip, workspace

train, _ = program()
SHARED = ROOT.parent / "shared"
if not SHARED.is_dir():
    skip("../shared is not here, which holds the reference numbers")


def smollm2():
    """The model directory, made if it is not there; None where its package cannot be had."""
    made = subprocess.run([ROOT / "build/venv/bin/python", ROOT / "scripts/make_smollm2.py"], capture_output=True, text=True)
    return ROOT / "build/models/SmolLM2-135M-Instruct" if made.returncode == 0 else None


def tokenize(model, texts, special=False):
    """The ids of each text, by the verb tokenize."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([train.train, "tokenize", model, *(["--special"] if special else [])], input=lines, text=True,
                          capture_output=True, env=environment(), check=True)
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def loss(place, model, documents, ranks=1):
    """Mean loss of [(ids, mask)] by the verb evaluate, and the number of targets."""
    place.mkdir()
    longest = max(len(ids) for ids, _ in documents)
    with open(place / "data.jsonl", "w", encoding="utf-8") as out:
        for ids, mask in documents:
            out.write(json.dumps({"input_ids": ids, "labels": [i if m else -100 for i, m in zip(ids, mask)]}) + "\n")
    job = train.job(place / "job", {
        "model.base": model, "model.precision": "fp32", "data.sequence_len": longest,
        "dataset.a.path": place / "data.jsonl", "dataset.a.type": "tokenized",
        "eval_dataset.a.path": place / "data.jsonl", "eval_dataset.a.type": "tokenized"})
    output = train.finish(train.start(ranks, ["evaluate", job]), 0, "train evaluate")
    found = re.search(r"evaluation loss ([0-9.]+) over (\d+) tokens", output)
    return float(found[1]), int(found[2])


def require_loss(place, name, model, documents, expected, targets, ranks=1):
    got, count = loss(place, model, documents, ranks)
    require(count == targets, f"{name}: {targets} targets", count)
    require(abs(got - expected) < 1e-3, f"{name}: loss {got:.6f} is within 1e-3 of {expected:.6f}")


def generate(place, model, prompt, tokens, chat):
    job = train.job(place, {"model.base": model, "model.precision": "fp32", "generate.max_new_tokens": tokens,
                            "generate.chat": str(chat).lower()})
    output = train.alone("generate", job, f"generate.prompt={prompt}", "checkpoint.resume=never")
    return output.split("\n", 1)[1][:-1]  # behind the line that names the weights


def check_stories(place):
    model = SHARED / "models/stories260K"
    reference = json.loads((SHARED / "models/stories260K_reference/reference.json").read_text())
    stories = (SHARED / "data/tinystories/cs336_sample_v2.txt").read_text().split("<|endoftext|>")
    documents = []
    for ids in tokenize(model, [story.strip() for story in stories if story.strip()]):
        ids = ([1] + ids + [1])[:512]
        documents.append((ids, [False] + [True] * (len(ids) - 1)))
    expected = reference["nll"][0]
    require_loss(place / "stories", "stories260K", model, documents, expected["mean_nll"], expected["targets"], ranks=2)
    beginning = "Once upon a time, there was"
    text = generate(place / "greedy", model, beginning, 240, chat=False)
    require(len(text) > 400 and reference["greedy"]["text"].startswith(beginning + text),
            "stories260K: the greedy story is that of transformers", text)


def smollm2_texts(model, numbers):
    """name → [(ids, mask)], as the rules of nll.json say."""
    shakespeare = (SHARED / "data/tinyshakespeare/input.txt").read_text()
    rows = [json.loads(line) for line in (SHARED / "data/gsm8k/train.jsonl").read_text().splitlines()[:40]]
    plain = "\n\n".join(row["question"] + "\n" + row["answer"] for row in rows)
    system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    heads = [f"{system}<|im_start|>user\n{row['question']}<|im_end|>\n<|im_start|>assistant\n" for row in rows[:16]]
    whole = [head + row["answer"] + "<|im_end|>\n" for head, row in zip(heads, rows)]
    first = tokenize(model, [shakespeare[:20000], plain])
    lengths = [len(ids) for ids in tokenize(model, heads)]
    chat = [(ids, [i >= n for i in range(len(ids))]) for ids, n in zip(tokenize(model, whole), lengths)]
    texts = {"gsm8k_chat_answers": chat}
    for name, ids in zip(("tinyshakespeare", "gsm8k_plain"), first):
        texts[name] = [(ids[:2000], [False] + [True] * 1999)]
    return {entry["text"]: (texts[entry["text"]], entry) for entry in numbers["nll"]}


def check_smollm2(place, model):
    numbers = json.loads((SHARED / "models/smollm2_reference/nll.json").read_text())["stored_type"]["bf16"]
    for name, (documents, entry) in smollm2_texts(model, numbers).items():
        require_loss(place / name, f"SmolLM2, {name}", model, documents, entry["mean_nll"], entry["targets"])
    for entry in numbers["greedy"]:
        text = generate(place / "plain", model, entry["text"], len(entry["new_ids"]), chat=False)
        require(text == entry["new_text"], f"SmolLM2 goes on from {entry['text']!r} as transformers does", repr(text))
    for entry in numbers["chat"]:
        text = generate(place / "chat", model, entry["user"], 48, chat=True)
        require(text == entry["reply"].removesuffix("<|im_end|>"), f"SmolLM2 answers {entry['user']!r} as transformers does",
                repr(text))


with workspace() as place:
    check_stories(place)
    model = smollm2()
    if model is None:
        print("SmolLM2 was left out: its package is not installed (scripts/setup.sh --venv needs PyPI)")
        sys.exit(0)
    check_smollm2(place, model)
