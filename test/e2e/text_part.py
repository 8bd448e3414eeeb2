"""text_part.py TRAIN: of a directory with a model of images and text, as gemma-3-4b-it is one, the text part trains as if it
stood alone, and is exported so."""
import json
import struct

from harness import OWN_CASES, Case, program, require, require_reference, workspace


def as_part_of_a_larger_model(case, folder, prefix):
    """The case's model with the names and the config.json of a gemma3, beside a vision tower."""
    folder.mkdir()
    config = json.loads((case.folder / "model/config.json").read_text())
    part = {key: value for key, value in config.items() if key not in ("architectures", "transformers_version")}
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "mm_tokens_per_image": 4,
        "boi_token_index": 120, "eoi_token_index": 121, "image_token_index": 122, "initializer_range": 0.02,
        "text_config": part, "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 8}}))
    data = (case.folder / "model/model.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8:8 + length]), data[8 + length:]
    renamed = {name if name == "__metadata__" else prefix + name.removeprefix("model."): entry for name, entry in header.items()}
    renamed["vision_tower.patch.weight"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(tensors), len(tensors) + 8]}
    text = json.dumps(renamed).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + tensors + bytes(8))
    return folder


train, _ = program()
case = Case(OWN_CASES / "gemma3")
with workspace() as place:
    for prefix in ("language_model.model.", "model.language_model."):
        model = as_part_of_a_larger_model(case, place / prefix, prefix)
        run = train.run(place / f"run-{prefix}", {**case.settings(), "model.base": model, "checkpoint.export": "final"}, 2)
        require_reference(case, run, f"tensors named {prefix}… give the curve of the text model")
        exported = json.loads((run / "final/config.json").read_text())
        require(exported["model_type"] == "gemma3_text" and exported["architectures"] == ["Gemma3ForCausalLM"],
                "the text part is exported as a model of its own", exported)
