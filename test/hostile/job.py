"""job.py TRAIN: numbers out of range and names that no job file can hold, in a job file and on the command line."""
import os
import re
import signal
import subprocess

from harness import OWN_CASES, ROOT, Case, environment, program, require, workspace
from limits import accepted, refused, run
from watching import wait_for_step

train, _ = program()
case = Case(OWN_CASES / "llama")
TOO_MUCH = ("nan", "-1", "1e300", "inf", str(2**128))
WHOLE = re.compile(r"a whole number from \d+ to (\d+)|a whole number, at least 0 and at most (\d+)")
NUMBER = re.compile(r"a number, .*?(?:at most|below) ([\d.e+]*\d)")
SIZE = re.compile(r"a number of bytes, at most (\d+) GB")


def numeric_keys():
    """{"section.key": the least number above its bound}, from what --help says."""
    keys, section, key = {}, "", ""
    for paragraph in re.split(r"\n(?=\[|  \w)", train.alone("--help")):
        if heading := re.match(r"\[([\w.]+)\]", paragraph):
            section = heading[1].replace("NAME", "reference")
        elif key := re.match(r"  (\w+)", paragraph):
            text, name = " ".join(paragraph.split()), f"{section}.{key[1]}"
            if bound := WHOLE.search(text):
                keys[name] = int(bound[1] or bound[2]) + 1
            elif bound := NUMBER.search(text):
                keys[name] = float(bound[1]) * 1.5
            elif bound := SIZE.search(text):
                keys[name] = f"{int(bound[1]) + 1} GB"
    return keys


def numbers_out_of_bounds():
    keys = numeric_keys()
    require(len(keys) >= 30 and "train.max_steps" in keys and "network.timeout_seconds" in keys and
            "dataset.reference.repeat" in keys, "--help has the bounds of every number", keys)
    for number, (key, beyond) in enumerate(keys.items()):
        for value in (beyond, TOO_MUCH[number % len(TOO_MUCH)]):
            refused(train, f"{key}={value}", [job, f"{key}={value}"], 2, [key.split(".")[-1], "expected"])


def what_does_not_fit():
    refused(train, "more tokens at once than can be counted", [job, "data.sequence_len=16777216", "train.micro_batch_size=1000000"],
            2, ["micro_batch_size", "tokens per micro-batch"])
    refused(train, "a micro-batch that no memory holds", [job, "data.sequence_len=16777216", "train.micro_batch_size=127"],
            2, ["does not fit into the memory of host", "memory per rank", "activations"])
    refused(train, "more sequences in an update than can be counted",
            [job, "train.micro_batch_size=1001", "train.global_batch_size=0", "train.gradient_accumulation_steps=1000000",
             "data.sequence_len=200"], 2, ["gradient_accumulation_steps"])
    refused(train, "a group of more ranks than there are", [job, "shard.strategy=hybrid_shard", "shard.group_size=1000000"],
            2, ["group_size"])


def jobs_without_end():
    """They begin at once."""
    for name, length in (("steps", {"train.max_steps": 10**12}), ("epochs", {"train.max_steps": None, "train.num_epochs": 10**6})):
        folder = place / name
        endless = train.job(folder, {**case.settings(), **length})
        process = subprocess.Popen([train.train, str(endless)], env=environment(), stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for_step(process, folder, 2)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
        require(process.returncode == 75, f"{name}: training has begun", output)


def what_a_resolved_job_cannot_say():
    folder = os.fsencode(place) + b"/caf\xe9"
    refused(train, "a folder whose name is no UTF-8", [job, os.fsdecode(b"job.output_dir=" + folder)], 2, ["[job] output_dir", "UTF-8"])
    require(not os.path.exists(folder), "nothing was prepared")
    refused(train, "a data set's name with a ]", [job, f"dataset.a]b.path={case.folder / 'train.jsonl'}", "dataset.a]b.type=tokenized"],
            2, ["[dataset.a]b]"])


def secrets():
    """The value of a variable is in no file of output_dir, whatever key it is given to."""
    os.environ["TESSERA_SECRET"] = "hunter2-hunter2"
    folder = place / "secret"
    folder.mkdir()
    messages = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
    (folder / "data.jsonl").write_text(f'{{"key hunter2-hunter2": {messages}}}\n' * 4)
    settings = {**case.settings(), "model.init": "random", "model.tokenizer": ROOT / "test/data/tokenizer/sentencepiece",
                "model.base": folder / "model", "dataset.reference.path": folder / "data.jsonl",
                "dataset.reference.type": "chat_template", "dataset.reference.chat_template": "llama2",
                "dataset.reference.field_messages": "key ${TESSERA_SECRET}", "dataset.reference.system_prompt": "${TESSERA_SECRET}",
                "generate.prompt": "${TESSERA_SECRET} is mine", "train.max_steps": 2, "train.warmup_steps": 0,
                "data.overlong": "split"}
    (folder / "model").mkdir()
    config = (case.folder / "model/config.json").read_text()
    (folder / "model/config.json").write_text(re.sub(r'"vocab_size": *\d+', '"vocab_size": 100000', config))
    out = folder / "out"
    accepted(train, "a job with secrets", [train.job(folder / "job", settings), f"job.output_dir={out}"])
    files = [file for file in out.rglob("*") if file.is_file()]
    require(any("shard-" in file.name for file in files), "there is a checkpoint", files)
    leaks = [file for file in files if b"hunter2" in file.read_bytes()]
    require(not leaks, "the secret is in no file of output_dir", leaks)
    resolved = (out / "job.resolved.ini").read_text()
    require("field_messages = key ${TESSERA_SECRET}\n" in resolved and "prompt = ${TESSERA_SECRET} is mine\n" in resolved,
            "the resolved job names the variable", resolved)
    accepted(train, "the resolved job goes on from the checkpoint", [out / "job.resolved.ini", "train.max_steps=3"])
    del os.environ["TESSERA_SECRET"]
    refused(train, "the same without the variable", [out / "job.resolved.ini"], 2, ["TESSERA_SECRET", "is not set"])


with workspace() as place:
    job = train.job(place / "job", case.settings())
    status, output = run(train, [])
    require(status == 2 and "train [verb] job.ini" in output, "no argument at all: the usage, and exit status 2", output)
    what_a_resolved_job_cannot_say()
    what_does_not_fit()
    secrets()
    jobs_without_end()
    numbers_out_of_bounds()
