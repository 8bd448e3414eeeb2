#include "data/make_samples.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/utf8.h"

namespace tessera {
namespace {

Sample make_sample(const Record& record, const Place& place, const SampleFormat& format,
                   simdjson::dom::parser& parser) {
  if (!record.broken.empty())
    throw DataError("{}: {}; fix or remove it, or set [data] on_error = skip", place, record.broken);
  if (record.kind == Record::Kind::document) {
    if (!utf8::is_valid(record.text))
      throw DataError("{}: the text is not UTF-8; convert it, for example with iconv -t utf-8", place);
    return format.from_document(record.text, record.part, place);
  }
  simdjson::dom::element element;
  const auto error = parser.parse(record.text).get(element);
  if (error != simdjson::SUCCESS)
    throw DataError("{}: invalid JSON: {}; fix or remove it, or set [data] on_error = skip", place,
                    simdjson::error_message(error));
  return format.from_json(element, place);
}

}  // namespace

std::vector<MadeSample> make_samples(const std::vector<Record>& records, const std::vector<Path>& files,
                                     const SampleFormat& format, int64_t vocab_size, int64_t threads) {
  std::vector<MadeSample> made(records.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    simdjson::dom::parser parser;
    for (size_t i = next++; i < records.size(); i = next++) {
      const Record& record = records[i];
      made[i].file = record.file;
      made[i].line = record.line;
      made[i].part = record.part;
      const Place place = fmt::format("{}:{}", files.at(static_cast<size_t>(record.file)).string(), record.line);
      try {
        made[i].sample = make_sample(record, place, format, parser);
        check_sample(made[i].sample, vocab_size, place);
      } catch (...) {  // decided in order by the consumer of the samples
        made[i].error = std::current_exception();
      }
    }
  };
  std::vector<std::jthread> helpers;
  const auto wanted = std::min<size_t>(static_cast<size_t>(std::max<int64_t>(threads, 1)), records.size());
  for (size_t i = 1; i < wanted; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();  // joins
  return made;
}

}  // namespace tessera
