"""full_disk.py TRAIN: the disk fills up while a checkpoint is written, by a limit on the size of files."""
import json
import resource
import subprocess

from harness import OWN_CASES, Case, environment, program, require, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")


def limited_run(job, limit):
    """One rank, where no file may grow beyond `limit` bytes (writing then fails as on a full disk)."""
    def before():
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.run([train.train, str(job)], env=environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          preexec_fn=before)


with workspace() as place:
    settings = {**case.settings(), "checkpoint.save_steps": 4}
    folder = train.run(place / "job", {**settings, "train.max_steps": 8})
    latest = (folder / "checkpoints" / "latest").read_text()
    require(latest.strip() == "step-000008", "the first run leaves a checkpoint", latest)

    shard = next((folder / "checkpoints" / latest.strip()).glob("shard-*.h5"))
    job = train.job(folder, {**settings, "train.max_steps": 20})
    done = limited_run(job, shard.stat().st_size // 2)
    require(done.returncode == 4, "a save that finds no room ends with status 4", f"{done.returncode}\n{done.stdout}")
    told = [line for line in done.stdout.splitlines() if "error: " in line]
    require(len(told) == 1 and "shard-" in told[0], "one message names the file", done.stdout)
    require((folder / "checkpoints" / "latest").read_text() == latest, "latest still points to the checkpoint before")
    manifest = json.loads((folder / "checkpoints" / latest.strip() / "manifest.json").read_text())
    require(manifest["step"] == 8, "that checkpoint is whole")

    train.run(folder, {**settings, "train.max_steps": 20})
    require((folder / "checkpoints" / "latest").read_text().strip() == "step-000020",
            "with room again the job goes on to its end")
