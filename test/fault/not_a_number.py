"""not_a_number.py TRAIN: a learning rate that makes the weights explode."""
import json

from harness import OWN_CASES, Case, metrics, program, require, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    for ranks in (1, 3):
        folder = place / f"ranks-{ranks}"
        settings = {**case.settings(), "train.learning_rate": 1e30, "train.max_grad_norm": 0, "train.warmup_steps": 4,
                    "train.lr_scheduler": "constant_with_warmup", "checkpoint.save_steps": 1, "checkpoint.async": "false"}
        job = train.job(folder, settings)
        output = train.finish(train.start(ranks, [job]), 4, "a NaN loss")
        told = [line for line in output.splitlines() if "error: " in line]
        last = max(row["step"] for row in metrics(folder) if "loss" in row)
        require(len(told) == 1 and f"step {last + 1}:" in told[0], f"{ranks} ranks: one message names the step", output)
        latest = (folder / "checkpoints" / "latest").read_text().strip()
        require(latest in told[0].replace("step ", "step-00000") or f"step {int(latest[5:])}" in told[0],
                "the message names the last checkpoint", output)
        manifest = json.loads((folder / "checkpoints" / latest / "manifest.json").read_text())
        require(manifest["step"] == int(latest[5:]) <= last, "the last checkpoint is whole", manifest)
