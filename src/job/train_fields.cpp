#include "job/field_builder.h"

namespace tessera {
namespace {

std::vector<Field> amount_fields(const Of<TrainSettings>& train) {
  return {
      train.key("num_epochs", &TrainSettings::num_epochs, number(above(0).up_to(1e6)),
                "passes over the data; fractions count too"),
      train.key("max_steps", &TrainSettings::max_steps, whole_number(0, most::steps), "updates, instead of num_epochs")
          .replaces("num_epochs"),
      train.key("micro_batch_size", &TrainSettings::micro_batch_size, whole_number(1, 1'000'000),
                "sequences a rank computes at once"),
      train.key("gradient_accumulation_steps", &TrainSettings::gradient_accumulation_steps, whole_number(1, 1'000'000),
                "micro-batches of each rank in an update"),
      train
          .key("global_batch_size", &TrainSettings::global_batch_size, whole_number(0, most::sequences),
               "sequences in an update on any number of ranks, instead of gradient_accumulation_steps")
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
                "the highest of the schedule"),
      train.key("lr_scheduler", &TrainSettings::lr_scheduler, scheduler, "as transformers' get_scheduler defines them"),
      train
          .key("warmup_steps", &TrainSettings::warmup_steps, whole_number(0, most::steps),
               "updates until learning_rate is reached; constant has none, whatever this says, as in transformers")
          .off_at_zero(),
      train
          .key("warmup_ratio", &TrainSettings::warmup_ratio, number(at_least(0).up_to(1)),
               "the same as a part of all updates")
          .replaces("warmup_steps"),
      train
          .key("min_lr_rate", &TrainSettings::min_lr_rate, number(at_least(0).up_to(1)), "the floor over learning_rate")
          .off_at_zero()
          .with("lr_scheduler", {"cosine_with_min_lr", "warmup_stable_decay"})
          .must_be_given_with("lr_scheduler", {"cosine_with_min_lr"}),
      train.key("num_cycles", &TrainSettings::num_cycles, number(above(0).up_to(1e6)), "waves of the cosine")
          .with("lr_scheduler", {"cosine", "cosine_with_min_lr", "warmup_stable_decay"}),
      train
          .key("num_stable_steps", &TrainSettings::num_stable_steps, whole_number(0, most::steps),
               "updates at learning_rate; 0: what warm-up and decay leave")
          .off_at_zero()
          .with("lr_scheduler", {"warmup_stable_decay"}),
      train
          .key("num_decay_steps", &TrainSettings::num_decay_steps, whole_number(0, most::steps),
               "updates of the descent")
          .off_at_zero()
          .with("lr_scheduler", {"warmup_stable_decay"})
          .must_be_given_with("lr_scheduler", {"warmup_stable_decay"}),
      train
          .key("inverse_sqrt_timescale", &TrainSettings::inverse_sqrt_timescale, whole_number(0, most::steps),
               "transformers' timescale; 0: warmup_steps, or 10000 without")
          .off_at_zero()
          .with("lr_scheduler", {"inverse_sqrt"}),
  };
}

std::vector<Field> optimizer_fields(const Of<TrainSettings>& train) {
  return {
      train.key("optimizer", &TrainSettings::optimizer, choice<Optimizer>({{Optimizer::adamw, "adamw"}}),
                "as torch.optim.AdamW"),
      train.key("adam_beta1", &TrainSettings::adam_beta1, number(at_least(0).below(1)), "decay of the first moment"),
      train.key("adam_beta2", &TrainSettings::adam_beta2, number(at_least(0).below(1)), "decay of the second moment"),
      train.key("adam_epsilon", &TrainSettings::adam_epsilon, number(at_least(1e-30).up_to(1000)),
                "added to the second moment's root"),
      train.key("weight_decay", &TrainSettings::weight_decay, number(at_least(0).up_to(1e30)),
                "on every tensor but norm weights and biases"),
      train.key("max_grad_norm", &TrainSettings::max_grad_norm, number(at_least(0).up_to(1e30)),
                "the whole gradient's L2 norm is clipped to this; 0: no clipping"),
  };
}

}  // namespace

Section train_section() {
  const Of<TrainSettings> train{&Job::train};
  Section section{"train", "How long, in which steps, and at which learning rate.", false, {}};
  for (const auto& part : {amount_fields(train), schedule_fields(train), optimizer_fields(train)})
    section.fields.insert(section.fields.end(), part.begin(), part.end());
  return section;
}

}  // namespace tessera
