#include "generate/generate.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <sstream>

#include "base/amount.h"
#include "base/error.h"
#include "base/files.h"
#include "base/host_memory.h"
#include "base/json.h"
#include "base/log.h"
#include "base/size_text.h"
#include "checkpoint/checkpoint.h"
#include "cluster/agree.h"
#include "generate/inference_model.h"
#include "generate/sampler.h"
#include "session/base_model.h"
#include "session/compute_device.h"
#include "session/initial_weights.h"
#include "session/job_choices.h"
#include "session/session.h"
#include "session/weights.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tessera {
namespace {

std::vector<std::string> read_prompts(const GenerateSettings& settings) {
  if (settings.prompt.empty())
    throw JobError(
        "[generate] prompt: missing; give a text, or a file with one prompt per line: generate.prompt=\"…\"");
  std::error_code ignored;  // a text may be too long for a path, or hold characters that no path has
  if (!std::filesystem::is_regular_file(settings.prompt, ignored)) return {settings.prompt};
  std::vector<std::string> prompts;
  std::istringstream lines(read_text(settings.prompt));
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) prompts.push_back(line);
  if (prompts.empty()) throw JobError("[generate] prompt: the file {} is empty", settings.prompt);
  return prompts;
}

/// The template of the first data set that names one, else the tokenizer's; nothing where neither is known.
std::optional<ChatTemplate> find_template(const Job& job, const Tokenizer& tokenizer) {
  if (job.generate.chat.has_value() && !*job.generate.chat) return std::nullopt;
  for (const DatasetSettings& set : job.datasets)
    if (set.type->kind == DatasetKind::chat && !set.chat_template.empty() && set.chat_template != "tokenizer_default")
      return ChatTemplate::by_name(set.chat_template);
  if (!tokenizer.chat_template().empty()) return ChatTemplate::recognise(tokenizer.chat_template());
  if (job.generate.chat.has_value())
    throw JobError("[generate] chat: {} has no chat template; set chat_template in a data set",
                   job.model.tokenizer.string());
  return std::nullopt;
}

std::vector<int32_t> prompt_ids(const std::string& prompt, const Tokenizer& tokenizer,
                                const std::optional<ChatTemplate>& chat) {
  if (!chat) return tokenizer.ids(prompt, SpecialTokens::add);
  std::string text;
  for (const ChatPiece& piece : chat->render({{"user", prompt}}, /*add_generation_prompt=*/true)) text += piece.text;
  return tokenizer.ids(text, SpecialTokens::leave_out);  // the template writes its own
}

std::set<int32_t> stop_ids(const Job& job, const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat) {
  std::set<int32_t> ids;
  if (tokenizer.eos_id()) ids.insert(*tokenizer.eos_id());
  if (chat)
    if (const auto id = tokenizer.token_to_id(chat->end_of_turn())) ids.insert(*id);
  const auto path = job.model.base / "generation_config.json";
  if (!is_there(path)) return ids;
  const auto json = read_json(path);
  if (!json.is_object()) throw DataError("{}: not a JSON object", path.string());
  const auto eos = json.value("eos_token_id", nlohmann::json());
  if (eos.is_null()) return ids;
  for (const auto& id : eos.is_array() ? eos : nlohmann::json::array({eos})) {
    const auto number = whole_number(id);
    if (!number || !std::in_range<int32_t>(*number))
      throw DataError("{}: eos_token_id is {}, expected a token id or a list of them", path.string(), shown(eos));
    ids.insert(static_cast<int32_t>(*number));
  }
  return ids;
}

/// Of the checkpoint that the job chooses what it trains; all else, or all, of what the job begins with.
void load_weights(const Job& job, const ModelSpec& spec, InferenceModel& model, bool tell) {
  const auto chosen = chosen_checkpoint(job);
  if (tell) log::info("weights: {}", chosen ? chosen->string() : job.model.base.string());
  const InitialWeights initial(job, spec, /*threads=*/1);
  std::optional<CheckpointReader> checkpoint;
  if (chosen) {
    checkpoint.emplace(*chosen);
    require_same_adapter(checkpoint->info(), job);
    if (checkpoint->info().base)
      require_same_base(checkpoint->info(), describe_base(job, spec, std::bind_front(&InitialWeights::read, &initial)));
  }
  std::vector<float> piece(1 << 20);
  model.load([&](const TensorSpec& tensor, const TakeElements& take) {
    if (checkpoint && tensor.band() == Band::trained)
      return checkpoint->stream({tensor.name, tensor.shape, 0, tensor.size(), {}}, {master_dataset, DType::f32},
                                [&](const void* elements, int64_t at, int64_t count) {
                                  take(static_cast<const float*>(elements), at, count);
                                });
    for (int64_t at = 0; at < tensor.size(); at += std::ssize(piece)) {
      const int64_t n = std::min<int64_t>(std::ssize(piece), tensor.size() - at);
      initial.read(tensor, at, n, piece.data());
      take(piece.data(), at, n);
    }
  });
}

class Generator {
 public:
  Generator(const Job& job, Device& device)
      : job_(job),
        spec_(load_unquantized_model(job)),
        tokenizer_(tokenizer_for_model(job, spec_.V)),
        chat_(find_template(job, tokenizer_)),
        stops_(stop_ids(job, tokenizer_, chat_)),
        device_(device),
        kernels_(make_kernels(device, {job.device.deterministic})) {}

  /// The answer to each of this rank's prompts.
  std::vector<std::string> answer(const std::vector<std::string>& prompts, int rank, int ranks) {
    std::vector<std::vector<int32_t>> ids;
    size_t longest = 0;
    for (const std::string& prompt : prompts) {
      ids.push_back(prompt_ids(prompt, tokenizer_, chat_));
      longest = std::max(longest, ids.back().size());
    }
    const int64_t capacity = static_cast<int64_t>(longest) + job_.generate.max_new_tokens;
    const DType dtype = compute_dtype(job_.model);
    require_memory(capacity, dtype);
    InferenceModel model(device_, *kernels_, spec_, dtype, capacity);
    load_weights(job_, spec_, model, rank == 0);
    std::vector<std::string> answers(prompts.size());
    for (size_t i = static_cast<size_t>(rank); i < prompts.size(); i += static_cast<size_t>(ranks))
      answers[i] = continue_from(model, ids[i], static_cast<int64_t>(i));
    return answers;
  }

 private:
  /// The keys and values of so many tokens, which a CPU's memory takes as they come.
  void require_memory(int64_t tokens, DType dtype) const {
    Amount of_a_token = 0;
    for (const LayerSpec& layer : spec_.layers)
      of_a_token = of_a_token + Amount(2 * layer.attention.G) * layer.attention.D * size_of(dtype);
    const Amount cache = of_a_token * tokens;
    if (device_.kind() == DeviceKind::cpu && cache > host_memory_bytes())
      throw JobError(
          "[generate] max_new_tokens: the key/value cache of {} tokens needs {}, but this host has {}; lower it",
          tokens, size_text(cache.value()), size_text(host_memory_bytes()));
  }

  std::string continue_from(InferenceModel& model, const std::vector<int32_t>& prompt, int64_t number) {
    Sampler sampler(job_.generate.temperature, job_.generate.top_p, job_.job.seed + number);
    std::vector<int32_t> answer;
    const float* logits = model.start(prompt);
    for (int64_t i = 0; i < job_.generate.max_new_tokens; ++i) {
      const int32_t token = sampler.choose(logits, spec_.V);
      if (stops_.contains(token)) break;
      answer.push_back(token);
      if (i + 1 == job_.generate.max_new_tokens) break;
      if (model.length() == spec_.max_position_embeddings)
        log::warn("answer {} exceeds the model's {} positions (max_position_embeddings)", number + 1,
                  spec_.max_position_embeddings);
      logits = model.next(token);
    }
    return decode_after(prompt, answer);
  }

  /// The answer as it reads behind the prompt: decoded alone it would lose a space at its beginning.
  std::string decode_after(const std::vector<int32_t>& prompt, const std::vector<int32_t>& answer) const {
    std::vector<int32_t> all = prompt;
    all.insert(all.end(), answer.begin(), answer.end());
    const std::string before = tokenizer_.decode(prompt, SpecialDecode::skip);
    return tokenizer_.decode(all, SpecialDecode::skip).substr(before.size());
  }

  const Job& job_;
  ModelSpec spec_;
  Tokenizer tokenizer_;
  std::optional<ChatTemplate> chat_;
  std::set<int32_t> stops_;
  Device& device_;
  std::unique_ptr<Kernels> kernels_;
};

/// Rank `owner`'s text on every rank.
std::string broadcast_text(Communicator& world, std::string text, int owner) {
  auto length = static_cast<int64_t>(text.size());
  world.broadcast_host(&length, sizeof length, owner, "broadcast of an answer");
  text.resize(static_cast<size_t>(length));
  world.broadcast_host(text.data(), length, owner, "broadcast of an answer");
  return text;
}

}  // namespace

void generate(const Job& job, Cluster& cluster) {
  std::vector<std::string> prompts, answers;
  const std::unique_ptr<Device> device = make_compute_device(job, cluster);
  agree(
      cluster.world(), "generating",
      [&] {
        if (job.model.init == Init::random && !chosen_checkpoint(job))
          throw JobError("[model] init: cannot generate from random weights; train first, or set init = pretrained");
        prompts = read_prompts(job.generate);
        answers = Generator(job, *device).answer(prompts, cluster.rank(), cluster.size());
      },
      Patience::unlimited);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string answer = broadcast_text(cluster.world(), answers[i], static_cast<int>(i) % cluster.size());
    if (prompts.size() > 1) log::info("> {}", prompts[i]);
    log::info("{}", answer);
  }
}

}  // namespace tessera
