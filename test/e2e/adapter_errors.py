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


def changed_tensor(folder, name, change):
    """Makes `change` to the bytes of a tensor, which keeps its length."""
    path = folder / "model.safetensors"
    weights = bytearray(path.read_bytes())
    length = int.from_bytes(weights[:8], "little")
    begin, end = (8 + length + offset for offset in json.loads(weights[8:8 + length])[name]["data_offsets"])
    changed = change(bytes(weights[begin:end]))
    require(len(changed) == end - begin and changed != weights[begin:end], "a change that keeps the length")
    weights[begin:end] = changed
    path.write_bytes(weights)


def require_quantised_bases_refused(place):
    case = Case(OWN_CASES / "qlora-stored")
    base = case.folder / "model"
    settings = {**case.settings(), "train.max_steps": 1, "checkpoint.export": "never"}
    plain = {key: value for key, value in settings.items() if not key.startswith("adapter.")}
    require_refused(place, "a stored NF4 base that is trained whole", {**plain, "model.quantization": "none",
                    "model.double_quantization": None}, BAD_JOB, base, "are quantised", "[adapter] type = lora")
    for other in ("none", "int8"):
        require_refused(place, f"and one that is taken as {other}", {**settings, "model.quantization": other,
                        "model.double_quantization": None}, BAD_JOB, base, "[model] quantization = nf4")
    for claim, change in (("in fp4", {"bnb_4bit_quant_type": "fp4"}), ("load_in_8bit", {"load_in_8bit": True, "load_in_4bit": False})):
        folder = changed_copy(base, place / f"stored-{next(numbers)}", "config.json", lambda config: {
            **config, "quantization_config": {**config["quantization_config"], **change}})
        require_refused(place, f"a base that is stored {claim}", {**settings, "model.base": folder}, BAD_FILE, folder,
                        claim.removeprefix("in "))
    matrix = "model.layers.1.mlp.up_proj.weight"
    for claim, part, change, word in (
            ("with blocks of another size", ".quant_state.bitsandbytes__nf4",
             lambda state: state.replace(b'"blocksize": 64', b'"blocksize": 32'), "blocksize is 32"),
            ("of another shape", ".quant_state.bitsandbytes__nf4", lambda state: state.replace(b"[402, 46]", b"[46, 402]"), "has shape"),
            ("with another map", ".nested_quant_map", lambda values: bytes(len(values)), "is not bitsandbytes' map"),
            ("with scales that are no numbers", ".nested_absmax", lambda values: b"\xff" * len(values), "not finite")):
        folder = place / f"stored-{next(numbers)}"
        shutil.copytree(base, folder)
        changed_tensor(folder, matrix + part, change)
        require_refused(place, f"a stored NF4 base {claim}", {**settings, "model.base": folder}, BAD_FILE, folder, matrix, word)


def require_resumes_refused(place):
    first = train.run(place / "first", {**SETTINGS, "checkpoint.save_steps": 1})
    resumed = {**SETTINGS, "checkpoint.resume": first / "checkpoints/step-000002", "train.max_steps": 3}
    other = place / "other-base"
    shutil.copytree(case.folder / "model", other)
    name = "model.layers.1.mlp.down_proj.weight"
    changed_tensor(other, name, lambda values: bytes([values[0] ^ 1]) + values[1:])
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
    require_quantised_bases_refused(place)
    require_resumes_refused(place)
