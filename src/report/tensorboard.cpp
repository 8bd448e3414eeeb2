#include "report/tensorboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace tessera {
namespace {

/// CRC-32C (Castagnoli), reflected polynomial.
uint32_t crc32c(const std::string& data) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
      t[i] = crc;
    }
    return t;
  }();
  uint32_t crc = 0xffffffffu;
  for (const char c : data) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc(const std::string& data) { return std::rotr(crc32c(data), 15) + 0xa282ead8u; }

template <typename T>
std::string little_endian(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Protocol buffer fields: key = number << 3 | wire type (0 varint, 1 64-bit, 2 bytes, 5 32-bit).
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string field(int number, uint64_t value) { return varint(static_cast<uint64_t>(number) << 3) + varint(value); }
std::string field(int number, double value) {
  return varint(static_cast<uint64_t>(number) << 3 | 1) + little_endian(value);
}
std::string field(int number, float value) {
  return varint(static_cast<uint64_t>(number) << 3 | 5) + little_endian(value);
}
std::string field(int number, const std::string& value) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(value.size()) + value;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

TensorBoardFile::TensorBoardFile(const std::filesystem::path& directory, int64_t first_step) {
  make_directory(directory, "[log] tensorboard");
  // TensorBoard reads the files in the order of their names: finer than seconds, for short runs.
  path_ = directory / fmt::format("events.out.tfevents.{:.6f}.tessera.{}", wall_time(), ::getpid());
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) throw DataError("{}: cannot be opened for writing", path_.string());
  record(field(1, wall_time()) + field(3, std::string("brain.Event:2")));
  const std::string session_start = field(1, uint64_t{1});  // SessionLog.status = START
  record(field(1, wall_time()) + field(2, static_cast<uint64_t>(first_step)) + field(7, session_start));
}

void TensorBoardFile::record(const std::string& data) {
  const std::string length = little_endian(static_cast<uint64_t>(data.size()));
  file_ << length << little_endian(masked_crc(length)) << data << little_endian(masked_crc(data)) << std::flush;
  if (!file_) throw DataError("{}: writing failed; is the disk full?", path_.string());
}

void TensorBoardFile::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [tag, value] : values) summary += field(1, field(1, tag) + field(2, static_cast<float>(value)));
  record(field(1, wall_time()) + field(2, static_cast<uint64_t>(step)) + field(5, summary));
}

void TensorBoardFile::step(const StepMetrics& m) {
  scalars(m.step, {{"train/loss", m.loss},
                   {"train/grad_norm", m.grad_norm},
                   {"train/learning_rate", m.learning_rate},
                   {"train/epoch", m.epoch},
                   {"train/tokens_per_second", m.tokens_per_second()},
                   {"train/mfu", m.mfu}});
}

void TensorBoardFile::evaluation(const EvaluationMetrics& m) { scalars(m.step, {{"eval/loss", m.loss}}); }

}  // namespace tessera
