#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "bench/bench.h"

namespace tessera::bench {
namespace {

/// As frequent as words are: the k-th of V about 1/k times the first (Zipf).
std::vector<int32_t> some_tokens(int64_t T, int64_t V) {
  std::mt19937_64 generator(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<int32_t> rank_to_token(static_cast<size_t>(V));
  for (int64_t v = 0; v < V; ++v) rank_to_token[static_cast<size_t>(v)] = static_cast<int32_t>(v);
  std::shuffle(rank_to_token.begin(), rank_to_token.end(), generator);
  std::vector<int32_t> tokens;
  for (int64_t t = 0; t < T; ++t) {
    const double rank = std::pow(static_cast<double>(V), uniform(generator)) - 1;
    tokens.push_back(rank_to_token[std::min<size_t>(static_cast<size_t>(rank), rank_to_token.size() - 1)]);
  }
  return tokens;
}

int64_t distinct(const std::vector<int32_t>& tokens) {
  return static_cast<int64_t>(std::set<int32_t>(tokens.begin(), tokens.end()).size());
}

}  // namespace

void Bench::measure_vocabulary(DType dtype) {
  const std::vector<int32_t> tokens = some_tokens(s_.T, s_.V);
  const std::string shape = fmt::format("[{}] of {}, width {}", s_.T, s_.V, s_.C);
  for (const float factor : {1.0f, 45.25f}) {  // √2048, as bf16 has it
    measure({"embedding_forward", factor == 1 ? "tokens" : "tokens, scaled"}, shape, dtype, 0, [&](Operands& o) {
      const View table = o.matrix(dtype, s_.V, s_.C), y = o.output(dtype, s_.T, s_.C);
      const auto* const ids = o.array(tokens);
      o.count(distinct(tokens) * s_.C * size_of(dtype));
      return [=, this] { kernels_->embedding.forward(*stream_, ids, table, y, factor); };
    });
  }
  measure({"embedding_backward"}, shape, dtype, 0, [&](Operands& o) {
    const View dy = o.input(dtype, s_.T, s_.C), dtable = o.matrix(DType::f32, s_.V, s_.C);
    const auto* const ids = o.array(tokens);
    o.count(2 * distinct(tokens) * s_.C * size_of(DType::f32));
    return [=, this] { kernels_->embedding.backward(*stream_, ids, dy, dtable); };
  });

  std::vector<int32_t> supervised;  // two of three
  for (int32_t t = 0; t < s_.T; ++t)
    if (t % 3 != 0) supervised.push_back(t);
  const auto S = static_cast<int64_t>(supervised.size());
  measure({"embedding_forward", "rows with loss"}, fmt::format("[{}] of {}, width {}", S, s_.T, s_.C), dtype, 0,
          [&](Operands& o) {
            const View x = o.matrix(dtype, s_.T, s_.C), y = o.output(dtype, S, s_.C);
            o.count(y.bytes());
            const auto* const rows = o.array(supervised);
            return [=, this] { kernels_->embedding.forward(*stream_, rows, x, y); };
          });
  measure({"scatter_rows"}, fmt::format("[{}, {}] -> [{}, {}]", S, s_.C, s_.T, s_.C), dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, S, s_.C), y = o.output(dtype, s_.T, s_.C);
    const auto* const rows = o.array(supervised);
    return [=, this] { kernels_->embedding.scatter_rows(*stream_, rows, x, y); };
  });

  const std::vector<int32_t> targets = some_tokens(s_.loss_rows, s_.V);
  const std::string logits_shape = fmt::format("[{}, {}]", s_.loss_rows, s_.V);
  const auto cross_entropy = [&](const std::string& call, const LogitTransform& transform, bool gradient) {
    measure({"cross_entropy", call}, logits_shape, dtype, 0, [&](Operands& o) {
      const View logits = o.input(DType::f32, s_.loss_rows, s_.V),
                 dlogits = gradient ? o.output(dtype, s_.loss_rows, s_.V) : View();
      const auto* const ids = o.array(targets);
      auto* const loss = o.array(std::vector<double>{0});
      return [=, this] { kernels_->loss.cross_entropy(*stream_, logits, ids, transform, 1e-3f, dlogits, loss); };
    });
  };
  const LogitTransform capped{.softcap = 30};
  cross_entropy("with gradient", {}, true);
  cross_entropy("with gradient, capped", capped, true);
  cross_entropy("", {}, false);
}

}  // namespace tessera::bench
