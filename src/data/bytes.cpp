#include "data/bytes.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/number.h"

namespace tessera {
namespace {

using Path = std::filesystem::path;

class PlainReader : public ByteReader {
 public:
  explicit PlainReader(const Path& path) : file_(path) {}

  size_t read(char* out, size_t bytes) override {
    const int64_t got = file_.read(out, narrow<int64_t>(bytes));
    read_ += got;
    return narrow<size_t>(got);
  }
  int64_t packed() const override { return read_; }

 private:
  InputFile file_;
  int64_t read_ = 0;
};

class GzipReader : public ByteReader {
 public:
  explicit GzipReader(const Path& path) : path_(path), file_(gzdopen(InputFile(path).release(), "rb"), gzclose) {
    if (!file_) throw std::bad_alloc();
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
  int64_t packed() const override { return gzoffset(file_.get()); }

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
  int64_t packed() const override { return packed_.packed(); }

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

}  // namespace tessera
