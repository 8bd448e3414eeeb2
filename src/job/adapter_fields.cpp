#include "job/field_builder.h"

namespace tessera {

Section adapter_section() {
  const Of<AdapterSettings> adapter{&Job::adapter};
  const auto types = choice<AdapterType>({{AdapterType::none, "none"}, {AdapterType::lora, "lora"}});
  const auto init = choice<LoraInit>({{LoraInit::uniform, "true"}, {LoraInit::gaussian, "gaussian"}});
  const char* const from_base = "base_adapter's";
  return {
      "adapter",
      "A low-rank adapter (LoRA) on a frozen base, with PEFT's names. base_adapter fills what is left out.",
      false,
      {adapter.key("type", &AdapterSettings::type, types, "lora: train small matrices beside the linear modules"),
       adapter
           .key("lora_r", &AdapterSettings::lora_r, optional_value(whole_number(1, 65536)),
                "Rank of the adapter. Required without base_adapter")
           .by_default(from_base)
           .with("type", {"lora"}),
       adapter
           .key("lora_alpha", &AdapterSettings::lora_alpha, optional_value(number(above(0).up_to(1e9))),
                "The adapter is scaled by lora_alpha / lora_r. Required without base_adapter")
           .by_default(from_base)
           .with("type", {"lora"}),
       adapter
           .key("lora_dropout", &AdapterSettings::lora_dropout, optional_value(number(at_least(0).up_to(0.99))),
                "Rate of dropout on what the adapter reads. The same elements are dropped on any number of ranks")
           .by_default("base_adapter's, or 0")
           .with("type", {"lora"}),
       adapter.key("use_rslora", &AdapterSettings::use_rslora, maybe(), "Scale by lora_alpha / sqrt(lora_r) instead")
           .by_default("base_adapter's, or false")
           .with("type", {"lora"}),
       adapter
           .key("use_dora", &AdapterSettings::use_dora, maybe(),
                "Train the length of each row of W + B A apart from its direction (DoRA)")
           .by_default("base_adapter's, or false")
           .with("type", {"lora"}),
       adapter
           .key("target_modules", &AdapterSettings::target_modules, optional_value(words()),
                "Modules that get an adapter. all-linear: every linear module of the layers. A list of names: each "
                "matches a module's whole name, or its end after a dot. Anything else: a regular expression that "
                "matches the whole name")
           .by_default("base_adapter's, or all-linear")
           .with("type", {"lora"}),
       adapter
           .key("exclude_modules", &AdapterSettings::exclude_modules, optional_value(words()),
                "Modules that get none: a list of names, or a regular expression")
           .by_default("base_adapter's, or none")
           .with("type", {"lora"}),
       adapter
           .key("layers_to_transform", &AdapterSettings::layers_to_transform,
                optional_value(whole_numbers(0, 1'000'000)), "Layers that get an adapter, counted from 0")
           .by_default("base_adapter's, or all")
           .with("type", {"lora"}),
       adapter
           .key("modules_to_save", &AdapterSettings::modules_to_save, optional_value(list()),
                "Modules that are trained whole beside the adapter: embed_tokens, lm_head, norms")
           .by_default("base_adapter's, or none")
           .with("type", {"lora"}),
       adapter
           .key("loraplus_lr_ratio", &AdapterSettings::loraplus_lr_ratio, number(above(0).up_to(1e6)),
                "Learning rate of lora_B over learning_rate, which is lora_A's (LoRA+)")
           .with("type", {"lora"}),
       adapter
           .key("init_lora_weights", &AdapterSettings::init_lora_weights, init,
                "lora_A at the start. true: uniform in ±1/sqrt(columns). gaussian: normal with deviation 1/lora_r. "
                "lora_B is zero")
           .with("type", {"lora"}),
       adapter
           .key("base_adapter", &AdapterSettings::base_adapter, path(),
                "PEFT directory with an adapter to go on from (axolotl's lora_model_dir)")
           .with("type", {"lora"})}};
}

}  // namespace tessera
