"""verbs.py TRAIN: the verbs that do not train answer for a reference case; the resolved job is a job."""
from harness import OWN_CASES, Case, curve, program, require, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    job = train.job(place / "run", case.settings())
    require("train" in train.alone("--help"), "--help answers")
    require(train.alone("--version").strip() != "", "--version answers")
    for verb in ("preprocess", "inspect"):
        require(train.alone(verb, job).strip() != "", f"train {verb} answers")
    run = train.run(place / "run", case.settings(), 2)
    again = place / "again"
    train.finish(train.start(2, [run / "job.resolved.ini", f"job.output_dir={again}", f"data.prepared_path={again}/prepared",
                                 f"checkpoint.export_dir={again}/final"]), 0, "the resolved job")
    require(curve(again) == curve(run), "the resolved job gives the same run")
    every = train.run(place / "every", {**case.settings(), "checkpoint.save_steps": 2, "checkpoint.export": "every",
                                        "checkpoint.save_total_limit": 1}, 3)
    require(curve(every) == curve(train.run(place / "never", case.settings(), 3)),
            "exporting with every checkpoint leaves the curve as it is")
    require((every / "final/model.safetensors").exists(), "and a Hugging Face directory at the end")
    exported = place / "exported"
    train.alone("export", job, f"checkpoint.export_dir={exported}")
    require((exported / "config.json").exists() and (exported / "model.safetensors").exists(),
            "train export writes a Hugging Face directory from the checkpoint")
