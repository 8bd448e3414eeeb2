"""adapter_errors.py TRAIN: what is wrong with an adapter, or its base, is said in one message with the exit status of its kind."""
import json
import shutil

from harness import OWN_CASES, Case, program, require, workspace

BAD_JOB, BAD_FILE = 2, 4

train, _ = program()
case = Case(OWN_CASES / "lora-phi3")
SETTINGS = {**case.settings(), "train.max_steps": 2, "checkpoint.export": "never"}
OF_ADAPTER = {key for key in SETTINGS if key.startswith("adapter.")}
NEW = {"adapter.type": "lora", "adapter.lora_r": 4, "adapter.lora_alpha": 8}
without_adapter = {key: value for key, value in SETTINGS.items() if key not in OF_ADAPTER}
numbers = iter(range(1000))


def require_refused(place, claim, settings, status, *words):
    folder = place / f"wrong-{next(numbers)}"
    output = train.alone("run", train.job(folder, settings), expect=status)
    errors = [line for line in output.splitlines() if "error: " in line]
    require(len(errors) == 1 and all(str(word) in errors[0] for word in words), claim, output)


def changed_copy(source, target, file, change):
    """A copy of the directory, with `change` made to one of its JSON files."""
    shutil.copytree(source, target)
    (target / file).write_text(json.dumps(change(json.loads((source / file).read_text()))))
    return target


def require_jobs_refused(place):
    job = {**without_adapter, **NEW}
    require_refused(place, "an unknown target: the nearest name", {**job, "adapter.target_modules": "qkv_prj"}, BAD_JOB,
                    "target_modules", "qkv_prj", "did you mean qkv_proj")
    require_refused(place, "an expression that matches nothing", {**job, "adapter.target_modules": r"model\.layers\.99\..*"},
                    BAD_JOB, "target_modules", "matches no linear")
    require_refused(place, "an expression that is none", {**job, "adapter.target_modules": "(qkv_proj"}, BAD_JOB, "target_modules")
    require_refused(place, "a module that is none", {**job, "adapter.modules_to_save": "lm_haed"}, BAD_JOB, "did you mean lm_head")
    require_refused(place, "a layer too many", {**job, "adapter.layers_to_transform": "0,99"}, BAD_JOB, "layers_to_transform", "99")
    require_refused(place, "rank 0", {**job, "adapter.lora_r": 0}, BAD_JOB, "lora_r")
    require_refused(place, "no rank", {key: job[key] for key in job if key != "adapter.lora_r"}, BAD_JOB, "lora_r")
    require_refused(place, "keys of an adapter without one", {**without_adapter, "adapter.lora_r": 4}, BAD_JOB, "lora_r")
    require_refused(place, "a quantised base without an adapter", {**without_adapter, "model.quantization": "nf4"}, BAD_JOB,
                    "quantization", "type = lora")


def require_directories_refused(place):
    own = case.folder / "adapter"
    job = {**without_adapter, "adapter.type": "lora"}
    for claim, change, word in (
            ("another method", {"peft_type": "IA3"}, "IA3"), ("ranks by module", {"rank_pattern": {"qkv_proj": 2}}, "rank_pattern"),
            ("trained biases", {"bias": "all"}, "bias"), ("lora_bias", {"lora_bias": True}, "lora_bias"),
            ("a rank that its tensors have not", {"r": 3}, "shape"), ("a rank below 1", {"r": 0}, "r is 0")):
        folder = changed_copy(own, place / f"adapter-{next(numbers)}", "adapter_config.json", lambda config: {**config, **change})
        require_refused(place, f"a PEFT directory with {claim}", {**job, "adapter.base_adapter": folder}, BAD_FILE, folder, word)
    require_refused(place, "a job that differs from it", {**job, "adapter.base_adapter": own, "adapter.lora_r": 77}, BAD_JOB,
                    "lora_r", "base_adapter")
    require_refused(place, "no such directory", {**job, "adapter.base_adapter": place / "nowhere"}, BAD_JOB, place / "nowhere")
    other = Case(OWN_CASES / "qlora-bias")
    require_refused(place, "an adapter of another base", {**job, "adapter.base_adapter": other.folder / "adapter"}, BAD_FILE,
                    other.folder / "adapter", "lora_A", "another base")
    base = case.folder / "model"
    for method in ("gptq", "awq", "fp8"):
        quantised = changed_copy(base, place / method, "config.json",
                                 lambda config: {**config, "quantization_config": {"quant_method": method, "bits": 4}})
        require_refused(place, f"a base that is stored in {method}", {**job, **NEW, "model.base": quantised}, BAD_FILE, quantised,
                        f'quant_method "{method}"')


def require_resumes_refused(place):
    first = train.run(place / "first", {**SETTINGS, "checkpoint.save_steps": 1})
    resumed = {**SETTINGS, "checkpoint.resume": first / "checkpoints/step-000002", "train.max_steps": 3}
    other = place / "other-base"
    shutil.copytree(case.folder / "model", other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    header = json.loads(weights[8:8 + int.from_bytes(weights[:8], "little")])
    name = "model.layers.1.mlp.down_proj.weight"
    weights[8 + int.from_bytes(weights[:8], "little") + header[name]["data_offsets"][0]] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    require_refused(place, "a resume over another base names the tensor", {**resumed, "model.base": other}, BAD_FILE,
                    "another base", name, case.folder / "model")
    require_refused(place, "and one with another scale the key", {**resumed, "adapter.lora_alpha": 1000}, BAD_JOB, "lora_alpha")
    plain = train.run(place / "plain", {**without_adapter, **NEW, "train.max_steps": 1, "checkpoint.export": "never"})
    require_refused(place, "also where the job gives it", {**without_adapter, **NEW, "adapter.lora_alpha": 1000, "train.max_steps": 2,
                    "checkpoint.resume": plain / "checkpoints/step-000001"}, BAD_FILE, "[adapter] lora_alpha: 8, now 1000")
    own = {**without_adapter, **NEW, "checkpoint.resume": first / "checkpoints/step-000002"}
    require_refused(place, "and one with another adapter", own, BAD_FILE, "[adapter]")
    require_refused(place, "and one without", {**without_adapter, "checkpoint.resume": first / "checkpoints/step-000002"}, BAD_FILE,
                    "[adapter]")


with workspace() as place:
    require_jobs_refused(place)
    require_directories_refused(place)
    require_resumes_refused(place)
