// A packed data file: the first byte says how it is packed and what should be in it, the rest is the file.
#include <array>

#include "data/records.h"
#include "support/fuzz.h"

using namespace tessera;

namespace {

constexpr std::array names = {"data.jsonl.gz",  "data.json.gz",  "data.txt.gz",
                              "data.jsonl.zst", "data.json.zst", "data.txt.zst"};
constexpr size_t enough =
    1 << 20;  // bytes of records: a few packed bytes can hold gigabytes, and those are read in time

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto path = fuzz::put(names[data[0] % names.size()], fuzz::text_of(data + 1, size - 1));
  fuzz::reads(path.native(), [&] {
    RecordStream stream({path}, {.record_bytes = 1 << 16, .document_part_bytes = 1 << 12});
    size_t bytes = 0;
    for (Record record; bytes < enough && stream.next(record);) bytes += record.text.size() + 1;
  });
  return 0;
}
