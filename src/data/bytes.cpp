#include "data/bytes.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/number.h"

namespace tessera {
namespace {

using Path = std::filesystem::path;

class PlainReader : public ByteReader {
 public:
  explicit PlainReader(const Path& path) : path_(path), file_(std::fopen(path.c_str(), "rb"), std::fclose) {
    if (!file_) throw DataError("{}: cannot be opened for reading: {}", path.string(), std::strerror(errno));
  }

  size_t read(char* out, size_t bytes) override {
    const size_t got = std::fread(out, 1, bytes, file_.get());
    if (got == 0 && std::ferror(file_.get()))
      throw DataError("{}: reading failed: {}", path_.string(), std::strerror(errno));
    return got;
  }

 private:
  Path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

class GzipReader : public ByteReader {
 public:
  explicit GzipReader(const Path& path) : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (!file_) throw DataError("{}: cannot be opened for reading: {}", path.string(), std::strerror(errno));
    gzbuffer(file_.get(), 1 << 17);
  }

  size_t read(char* out, size_t bytes) override {
    const int got = gzread(file_.get(), out, narrow<unsigned>(std::min<size_t>(bytes, 1 << 30)));
    // A file that ends inside a gzip member reads to its end without a negative count; only gzerror tells.
    int code = Z_OK;
    const char* reason = gzerror(file_.get(), &code);
    if (got < 0 || (got == 0 && code == Z_BUF_ERROR))
      throw DataError("{}: not a whole gzip file: {}", path_.string(),
                      code == Z_BUF_ERROR ? "it is cut short" : reason);
    return static_cast<size_t>(got);
  }

 private:
  Path path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

class ZstdReader : public ByteReader {
 public:
  explicit ZstdReader(const Path& path)
      : path_(path), packed_(path), stream_(ZSTD_createDStream(), ZSTD_freeDStream), input_(ZSTD_DStreamInSize()) {}

  size_t read(char* out, size_t bytes) override {
    ZSTD_outBuffer output{out, bytes, 0};
    while (output.pos == 0) {
      if (at_.pos == at_.size) at_ = {input_.data(), packed_.read(input_.data(), input_.size()), 0};
      const bool file_ended = at_.size == 0;
      if (file_ended && open_ == 0) break;
      open_ = ZSTD_decompressStream(stream_.get(), &output, &at_);  // with no input: what the decoder still holds
      if (ZSTD_isError(open_))
        throw DataError("{}: not a whole zstd file: {}", path_.string(), ZSTD_getErrorName(open_));
      if (file_ended && output.pos == 0 && open_ != 0)
        throw DataError("{}: not a whole zstd file: it is cut short", path_.string());
    }
    return output.pos;
  }

 private:
  Path path_;
  PlainReader packed_;
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<char> input_;
  ZSTD_inBuffer at_{nullptr, 0, 0};
  size_t open_ = 0;  // 0: a frame has just ended
};

}  // namespace

std::unique_ptr<ByteReader> open_bytes(const Path& path) {
  if (path.extension() == ".gz") return std::make_unique<GzipReader>(path);
  if (path.extension() == ".zst") return std::make_unique<ZstdReader>(path);
  return std::make_unique<PlainReader>(path);
}

std::string read_rest(ByteReader& reader) {
  std::string text;
  std::vector<char> block(1 << 17);
  while (const size_t got = reader.read(block.data(), block.size())) text.append(block.data(), got);
  return text;
}

}  // namespace tessera
