"""Reference cases as jobs, and how the end-to-end tests and scripts/gpu-check start them.  Python's standard library alone."""
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_CASES = ROOT / "test" / "data" / "reference"


class Case:
    """A folder of test/data/reference, or of another directory in the same form."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.name = self.folder.name
        self.job = json.loads((self.folder / "job.json").read_text())
        self.expected = json.loads((self.folder / "expected.json").read_text())
        if "global_batch_size" not in self.job:
            self.job["global_batch_size"] = (self.job["micro_batch_size"] * self.job["gradient_accumulation_steps"] *
                                             self.job.pop("world"))

    def settings(self):
        """The job as {"section.key": value}; paths are absolute."""
        train = {key: self.job[key] for key in ("max_steps", "micro_batch_size", "global_batch_size", "learning_rate",
                                                "lr_scheduler", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay",
                                                "max_grad_norm")}
        if self.job["lr_scheduler"] != "constant":
            train["warmup_steps"] = self.job["warmup_steps"]
        if "optimizer" in self.job:
            train["optimizer"] = self.job["optimizer"]
        for key, value in self.job["lr_scheduler_kwargs"].items():
            train[{"min_lr_ratio": "min_lr_rate"}.get(key, key)] = value
        adapter = {}
        if "adapter" in self.job:
            adapter = {"type": "lora", "base_adapter": self.folder / self.job["lora_model_dir"],
                       "loraplus_lr_ratio": self.job.get("loraplus_lr_ratio", 1)}
        return {
            "model.base": self.folder / "model",
            "model.precision": "fp32",
            "data.sequence_len": self.job["sequence_len"],
            "data.sample_packing": "false",
            "data.shuffle": "false",
            "dataset.reference.path": self.folder / "train.jsonl",
            "dataset.reference.type": "tokenized",
            **({"job.seed": self.job["seed"]} if "seed" in self.job else {}),
            "checkpoint.export": "never",
            "log.tensorboard": "false",
            "device.threads": 1,
            **{f"train.{key}": value for key, value in train.items()},
            **{f"adapter.{key}": value for key, value in adapter.items()},
            **({"model.quantization": "nf4", "model.double_quantization": str(self.job["bnb_4bit_use_double_quant"]).lower()}
               if self.job.get("load_in_4bit") else {}),
        }


def write_job(path, settings):
    """job.ini from {"section.key": value}; None leaves a key out."""
    sections = {}
    for name, value in settings.items():
        section, key = name.rsplit(".", 1)
        if value is not None:
            sections.setdefault(section, []).append(f"{key} = {value}\n")
    path.write_text("".join(f"[{section}]\n{''.join(lines)}\n" for section, lines in sections.items()))


def environment():
    """mpirun as root, more ranks than cores, and no thread pool of BLAS or OpenMP beside device.threads."""
    return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
