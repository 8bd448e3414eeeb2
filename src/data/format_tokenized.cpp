#include <limits>

#include "data/format.h"

namespace tessera {
namespace {

std::vector<int32_t> integers(const Fields& fields, std::string_view key) {
  const simdjson::dom::array array = fields.array(key);
  std::vector<int32_t> values;
  values.reserve(array.size());
  for (const auto element : array) {
    int64_t value = 0;
    if (element.get_int64().get(value) != simdjson::SUCCESS || !std::in_range<int32_t>(value))
      throw DataError("{}: {}[{}] is {}, expected a token's number", fields.place(), key, values.size(),
                      shown(element));
    values.push_back(static_cast<int32_t>(value));
  }
  return values;
}

/// {"input_ids": […], "labels": […]}, labels unshifted; without them every token carries loss.
class TokenizedFormat : public SampleFormat {
 public:
  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    const Fields fields(record, place);
    Sample sample;
    sample.ids = integers(fields, "input_ids");
    sample.labels = fields.has("labels") ? integers(fields, "labels") : sample.ids;
    return sample;
  }
};

}  // namespace

std::unique_ptr<const SampleFormat> tokenized_format() { return std::make_unique<TokenizedFormat>(); }

}  // namespace tessera
