"""checkpoint.py TRAIN: damaged and forged checkpoints are reported before use; what saves leave alone."""
import json
import os
import shutil
import struct

from harness import OWN_CASES, ROOT, Case, curve, program, require, workspace
from limits import accepted, refused

train, _ = program()
case = Case(OWN_CASES / "llama")


def base_with_vocabulary(folder):
    """A model directory, without weights, that has room for a tokenizer's tokens, so that generate has something to say."""
    folder.mkdir()
    config = json.loads((case.folder / "model/config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 1000, "rope_theta": 10000.0}))
    return folder


def settings(base, steps):
    return {**case.settings(), "model.base": base, "model.init": "random", "train.max_steps": steps,
            "model.tokenizer": ROOT / "test/data/tokenizer/sentencepiece",
            "eval_dataset.first.path": case.folder / "train.jsonl", "eval_dataset.first.type": "tokenized"}


def verbs(job):
    """Whatever opens a checkpoint."""
    return {"run": [job], "export": ["export", job], "inspect": ["inspect", job], "evaluate": ["evaluate", job],
            "generate": ["generate", job, "generate.prompt=a", "generate.max_new_tokens=2"]}


def damaged_texts(place, base):
    """One byte of a text that HDF5 keeps without a checksum."""
    folder = train.run(place / "texts", settings(base, 2), 2)
    job = train.job(folder, settings(base, 4))
    for name, arguments in verbs(job).items():
        if name != "run":
            accepted(train, f"{name} of the whole checkpoint", arguments)
    shutil.rmtree(folder / "final")
    shards = sorted((folder / "checkpoints/step-000002").glob("shard-*.h5"))
    before = curve(folder)
    for shard in shards:
        whole = shard.read_bytes()
        for text, other in ((b'"rope_theta": 10000.0', b'"rope_theta": 30000.0'), (b"max_steps = 2", b"max_steps = 3")):
            require(whole.count(text) == 1, f"{shard.name} has {text.decode()} once")
            shard.write_bytes(whole.replace(text, other))
            for name, arguments in verbs(job).items():
                refused(train, f"{name} of {shard.name} with {other.decode()}", arguments, 4, (shard.name, "checksum"))
        shard.write_bytes(whole)
    require(not (folder / "final").exists() and curve(folder) == before, "nothing was exported or trained from them")
    return folder, job


def wrong_manifests(folder, job):
    path = folder / "checkpoints/step-000002/manifest.json"
    whole = path.read_text()

    def changed(*keys, value):
        manifest = json.loads(whole)
        place = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return json.dumps(manifest)

    attacks = {
        "the name ..": changed("files", 0, "name", value=".."),
        "a name of 5,000 characters": changed("files", 0, "name", value="x" * 5000),
        "a name in another directory": changed("files", 0, "name", value="../step-000001/shard-00000-of-00002.h5"),
        "a fractional step": changed("step", value=2.5),
        "a negative counter": changed("tokens_seen", value=-1),
        "a step of 2^63": changed("step", value=1 << 63),
        "a size of 2^40": changed("files", 0, "bytes", value=1 << 40),
        "a world size of 10^9": changed("world_size", value=10 ** 9),
        "a checksum that is no text": changed("files", 0, "xxh3", value=[1]),
        "metadata of more bytes than the file": changed("files", 0, "metadata_bytes", value=1 << 40),
        "200,000 brackets": "[" * 200000,
        "nothing": "",
    }
    for what, text in attacks.items():
        path.write_text(text)
        output = refused(train, f"a manifest with {what}", ["export", job], 4, "step-000002/")
        require(len(output) < 4000, f"{what}: the message is short", output[:4000])
    path.write_text(whole)


def other_kinds_of_files(folder, job):
    directory = folder / "checkpoints/step-000002"
    for path in (directory / "manifest.json", directory / "shard-00001-of-00002.h5", folder / "checkpoints/latest"):
        aside = path.rename(folder / "aside")
        for what, make in (("a pipe", os.mkfifo), ("a directory", os.mkdir), ("a loop of links", lambda p: os.symlink(p, p)),
                           ("a device", lambda p: os.symlink("/dev/zero", p))):
            make(path)
            for name in ("run", "export"):
                refused(train, f"{name}, {what} as {path.name}", verbs(job)[name], 4, str(path))
            os.rmdir(path) if what == "a directory" else path.unlink()
        aside.rename(path)
    (folder / "checkpoints/latest").write_text("step-" + "0" * 5000 + "2\n")
    refused(train, "latest of 5,000 characters", ["export", job], 4, "latest")
    (folder / "checkpoints/latest").write_text("step-" + "0" * 3000 + "2\n")
    accepted(train, "latest that names nothing", ["export", job])


def foreign_directories(place, base):
    """A job that saves and rotates among links, leftovers and somebody else's files."""
    archive = train.run(place / "archive", settings(base, 1), 1) / "checkpoints/step-000001"
    archived = {path.name: path.read_bytes() for path in archive.iterdir()}
    victim = place / "victim"
    victim.write_text("untouched")
    folder = place / "rotating"
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-000001").symlink_to(archive)
    (checkpoints / "step-000002").symlink_to(archive)  # where the job itself will save
    planted = checkpoints / "step-000004"
    planted.mkdir()
    for name in ("shard-00000-of-00001.h5", "manifest.json.tmp", "../latest.tmp", "../latest", "../../job.resolved.ini.tmp"):
        (planted / name).symlink_to(victim)
    leftover, notes = checkpoints / "step-000003", checkpoints / "step-000090"
    for directory in (leftover, notes):
        directory.mkdir()
        for name in ("shard-00000-of-00002.h5", "shard-00001-of-00002.h5", "manifest.json.tmp"):
            (directory / name).write_bytes(b"half a file")
    (notes / "notes.txt").write_text("mine")

    job = train.job(folder, {**settings(base, 6), "checkpoint.save_steps": 2, "checkpoint.save_total_limit": 1,
                             "checkpoint.resume": "never"})
    accepted(train, "a job among links and leftovers", [job])
    require({path.name: path.read_bytes() for path in archive.iterdir()} == archived, "the archive is untouched")
    require((checkpoints / "step-000001").is_symlink(), "a link to it is not removed")
    require(victim.read_text() == "untouched", "nothing is written through a link")
    require(not leftover.exists(), "what an unfinished save left is removed")
    require((notes / "notes.txt").read_text() == "mine" and len(list(notes.iterdir())) == 4,
            "what has a file of somebody else in it stays")
    require(sorted(path.name for path in checkpoints.iterdir()) == ["latest", "step-000001", "step-000006", "step-000090"],
            "and of the job's own checkpoints the newest", sorted(checkpoints.iterdir()))


def not_a_number(place):
    base = shutil.copytree(case.folder / "model", place / "not-a-number")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + struct.pack("<f", float("nan")))
    job = train.job(place / "from-it", {**case.settings(), "model.base": base})
    refused(train, "a weight that is no number", [job], 4, ("model.safetensors", "not finite"))


with workspace() as place:
    base = base_with_vocabulary(place / "base")
    folder, job = damaged_texts(place, base)
    wrong_manifests(folder, job)
    other_kinds_of_files(folder, job)
    foreign_directories(place, base)
    not_a_number(place)
