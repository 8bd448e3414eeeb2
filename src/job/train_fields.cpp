#include "job/field_builder.h"

namespace tessera {
namespace {

std::vector<Field> amount_fields(const Of<TrainSettings>& train) {
  return {
      train.key("num_epochs", &TrainSettings::num_epochs, number(above(0).up_to(1e6)),
                "Passes over the training data. May be fractional"),
      train
          .key("max_steps", &TrainSettings::max_steps, whole_number(0, most::steps),
               "Number of updates, instead of num_epochs. 0: off")
          .replaces("num_epochs"),
      train.key("micro_batch_size", &TrainSettings::micro_batch_size, whole_number(1, 1'000'000),
                "Sequences per rank in one forward and backward pass"),
      train.key("gradient_accumulation_steps", &TrainSettings::gradient_accumulation_steps, whole_number(1, 1'000'000),
                "Micro-batches per rank in an update"),
      train
          .key("global_batch_size", &TrainSettings::global_batch_size, whole_number(0, most::sequences),
               "Sequences per update over all ranks, instead of gradient_accumulation_steps. 0: off")
          .replaces("gradient_accumulation_steps"),
  };
}

std::vector<Field> schedule_fields(const Of<TrainSettings>& train) {
  const auto scheduler = choice<Scheduler>({{Scheduler::linear, "linear"},
                                            {Scheduler::cosine, "cosine"},
                                            {Scheduler::constant, "constant"},
                                            {Scheduler::constant_with_warmup, "constant_with_warmup"},
                                            {Scheduler::cosine_with_min_lr, "cosine_with_min_lr"},
                                            {Scheduler::inverse_sqrt, "inverse_sqrt"},
                                            {Scheduler::warmup_stable_decay, "warmup_stable_decay"}});
  return {
      train.key("learning_rate", &TrainSettings::learning_rate, number(at_least(0).up_to(1e30)),
                "Peak learning rate of the schedule"),
      train.key("lr_scheduler", &TrainSettings::lr_scheduler, scheduler,
                "Schedule, as defined by transformers' get_scheduler"),
      train
          .key("warmup_steps", &TrainSettings::warmup_steps, whole_number(0, most::steps),
               "Updates until the peak learning rate is reached. constant ignores it, as in transformers")
          .off_at_zero(),
      train
          .key("warmup_ratio", &TrainSettings::warmup_ratio, number(at_least(0).up_to(1)),
               "Warm-up as a fraction of all updates, instead of warmup_steps. 0: off")
          .replaces("warmup_steps"),
      train
          .key("min_lr_rate", &TrainSettings::min_lr_rate, number(at_least(0).up_to(1)),
               "Minimum learning rate as a fraction of learning_rate")
          .off_at_zero()
          .with("lr_scheduler", {"cosine_with_min_lr", "warmup_stable_decay"})
          .must_be_given_with("lr_scheduler", {"cosine_with_min_lr"}),
      train.key("num_cycles", &TrainSettings::num_cycles, number(above(0).up_to(1e6)), "Number of cosine waves")
          .with("lr_scheduler", {"cosine", "cosine_with_min_lr", "warmup_stable_decay"}),
      train
          .key("num_stable_steps", &TrainSettings::num_stable_steps, whole_number(0, most::steps),
               "Updates at the peak learning rate. 0: all that remain between warm-up and decay")
          .off_at_zero()
          .with("lr_scheduler", {"warmup_stable_decay"}),
      train
          .key("num_decay_steps", &TrainSettings::num_decay_steps, whole_number(0, most::steps), "Updates of the decay")
          .off_at_zero()
          .with("lr_scheduler", {"warmup_stable_decay"})
          .must_be_given_with("lr_scheduler", {"warmup_stable_decay"}),
      train
          .key("inverse_sqrt_timescale", &TrainSettings::inverse_sqrt_timescale, whole_number(0, most::steps),
               "The timescale argument of transformers. 0: warmup_steps, or 10000 without warm-up")
          .off_at_zero()
          .with("lr_scheduler", {"inverse_sqrt"}),
  };
}

std::vector<Field> optimizer_fields(const Of<TrainSettings>& train) {
  return {
      train.key(
          "optimizer", &TrainSettings::optimizer,
          choice<OptimizerName>({{OptimizerName::adamw, "adamw"}, {OptimizerName::adamw_8bit, "adamw_8bit"}}),
          "adamw: as torch.optim.AdamW. adamw_8bit: the same with both moments in bitsandbytes' 8 bits, 2 bytes per "
          "weight instead of 8; tensors with fewer than 4096 elements keep theirs in fp32"),
      train.key("adam_beta1", &TrainSettings::adam_beta1, number(at_least(0).below(1)),
                "Decay rate of the first moment"),
      train.key("adam_beta2", &TrainSettings::adam_beta2, number(at_least(0).below(1)),
                "Decay rate of the second moment"),
      train.key("adam_epsilon", &TrainSettings::adam_epsilon, number(at_least(1e-30).up_to(1000)),
                "Added to the square root of the second moment"),
      train.key("weight_decay", &TrainSettings::weight_decay, number(at_least(0).up_to(1e30)),
                "Decoupled weight decay. Not applied to norm weights and biases"),
      train.key("max_grad_norm", &TrainSettings::max_grad_norm, number(at_least(0).up_to(1e30)),
                "Clip the L2 norm of the global gradient to this. 0: no clipping"),
  };
}

}  // namespace

Section train_section() {
  const Of<TrainSettings> train{&Job::train};
  Section section{"train", "Duration, batch size, learning-rate schedule and optimizer.", false, {}};
  for (const auto& part : {amount_fields(train), schedule_fields(train), optimizer_fields(train)})
    section.fields.insert(section.fields.end(), part.begin(), part.end());
  return section;
}

}  // namespace tessera
