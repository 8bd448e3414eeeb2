// The lines of a data file: the first two bytes say which kind of file and of data set, the rest is the file.
#include "data/records.h"

#include <array>

#include "data/make_samples.h"
#include "support/fuzz.h"
#include "support/mutators.h"
#include "unit/data/byte_tokenizer.h"

using namespace tessera;

namespace {

constexpr std::array endings = {".jsonl", ".json", ".txt"};
constexpr std::array types = {"tokenized",    "completion",    "alpaca",     "chat_template",
                              "input_output", "concisechoice", "reflection", "alpaca_w_system.load_open_orca"};
constexpr std::array templates = {"chatml", "llama3", "llama2", "mistral"};
constexpr RecordLimits limits = {.record_bytes = 2048, .document_part_bytes = 256};

struct Kind {
  std::string ending;
  DatasetSettings dataset;
  DataSettings data;
};

Kind kind_of(uint8_t first, uint8_t second) {
  Kind kind;
  kind.dataset.name = "fuzzed";
  kind.dataset.type = &dataset_type(types[first % types.size()]);
  const size_t readable = kind.dataset.type->kind == DatasetKind::completion ? endings.size() : endings.size() - 1;
  kind.ending = endings[first / types.size() % readable];
  kind.dataset.chat_template = templates[second % templates.size()];
  kind.dataset.roles_to_train =
      second & 4 ? std::vector<std::string>{"user", "assistant"} : kind.dataset.roles_to_train;
  kind.dataset.train_on_eos = static_cast<TrainOnEos>(second >> 3 & 3);
  kind.data.train_on_inputs = second & 32;
  return kind;
}

void read(const std::filesystem::path& path, const Kind& kind, const Tokenizer& tokenizer) {
  const auto format = make_format(kind.dataset, kind.data, &tokenizer);
  RecordStream stream({path}, limits);
  std::vector<Record> records(1);
  while (stream.next(records.front())) {
    fuzz::reads(path.native(), [&] {
      const auto made = make_samples(records, {path}, *format, test::byte_vocab_size, 1);
      if (made.front().error) std::rethrow_exception(made.front().error);
    });
  }
}

}  // namespace

/// Changes one of the values, where the file is one, and keeps what kind of file it is.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed, [&](std::string_view input) {
    if (input.size() < 2) return std::string();
    return std::string(input.substr(0, 2)) + fuzz::changed_json(input.substr(2), seed);
  });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const test::TemporaryFolder folder;
  static const Tokenizer tokenizer = test::byte_tokenizer(folder);
  if (size < 2) return 0;
  const Kind kind = kind_of(data[0], data[1]);
  const auto path = fuzz::put("data" + kind.ending, fuzz::text_of(data + 2, size - 2));
  fuzz::reads(path.native(), [&] { read(path, kind, tokenizer); });
  return 0;
}
