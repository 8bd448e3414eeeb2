#include "kernels/cuda/gemm_cublaslt.h"

#include <cublasLt.h>

#include <catch2/catch.hpp>

#include "support/kernel_test.h"

// How cuBLASLt's algorithms are chosen: by trials that change no result.  In its place are plain loops that sum in one
// order, in another one, in halves, or refuse (cuda_shim/cublasLt.cpp).
namespace tessera::test {
namespace {

struct Library {
  Library() : gemm(*device, workspace) {
    rig.device = device;
    rig.stream = device->make_stream("test");
    workspace->reserve(gemm.workspace_bytes());
  }
  /// dw [O, I] = or += dyᵀ x, made when it returns.
  void weight_gradient(const Matrix& dy, const Matrix& x, const Matrix& dw, Write mode) {
    const GemmDescription d = describe_linear_backward_weight(dy, x, dw, mode);
    gemm.run(*rig.stream, d, {x.view().data, dy.view().data, nullptr, addend(dw.view(), mode).data, dw.view().data});
    rig.stream->synchronize();
  }

  std::shared_ptr<CudaDevice> device = std::make_shared<CudaDevice>(0);
  std::shared_ptr<Workspace> workspace = std::make_shared<Workspace>(*device);
  CublasLtGemm gemm;
  Rig rig;
};

using cublaslt_shim::Algorithm;

/// While it is there, the algorithm is far faster than others.
struct Favourite {
  explicit Favourite(Algorithm algorithm) { cublaslt_shim::favour(algorithm); }
  ~Favourite() { cublaslt_shim::favour(Algorithm::first); }
  Favourite(const Favourite&) = delete;
  Favourite& operator=(const Favourite&) = delete;
};

constexpr int64_t O = 5, I = 7;

/// Σ over the tokens in their order, in fp32.
Values summed_in_order(const Matrix& dy, const Matrix& x) {
  const Values a = dy.values(), b = x.values();
  Values sums;
  for (size_t o = 0; o < O; ++o)
    for (size_t i = 0; i < I; ++i) {
      float sum = 0;
      for (size_t t = 0; t < a.size() / O; ++t)
        sum += static_cast<float>(b[t * I + i]) * static_cast<float>(a[t * O + o]);
      sums.push_back(static_cast<double>(sum));
    }
  return sums;
}

}  // namespace

TEST_CASE("an algorithm that would give other bits is not taken, however fast it is", "[cuda_shim][gemm]") {
  constexpr int64_t T = 100;
  for (const Algorithm fast : {Algorithm::halves, Algorithm::backwards, Algorithm::sly, Algorithm::refusing}) {
    INFO("algorithm " << static_cast<int>(fast));
    const Favourite favourite(fast);
    Library library;
    Rig& rig = library.rig;
    // Tried on values of which half are zeros: sums in halves agree on them by chance.
    Values half = random_values(T * O, 1);
    if (fast == Algorithm::halves) std::fill(half.begin(), half.begin() + T / 2 * O, 0.0);
    const Matrix x = Matrix::random(rig, DType::f32, T, I, 2), tried(rig, DType::f32, T, O, half),
                 dy = Matrix::random(rig, DType::f32, T, O, 3), dw = Matrix::zeros(rig, DType::f32, O, I);
    library.weight_gradient(tried, x, dw, Write::overwrite);
    CHECK(dw.values() == summed_in_order(tried, x));
    library.weight_gradient(dy, x, dw, Write::overwrite);
    CHECK(dw.values() == summed_in_order(dy, x));
  }
}

TEST_CASE("the fastest algorithm of the same bits is taken, also by products that add to their result",
          "[cuda_shim][gemm]") {
  const Favourite favourite(Algorithm::alike);
  Library library;
  Rig& rig = library.rig;
  const Matrix x = Matrix::random(rig, DType::bf16, 200, I, 1), dy = Matrix::random(rig, DType::bf16, 200, O, 2),
               dw = Matrix::zeros(rig, DType::f32, O, I);
  library.weight_gradient(dy, x, dw, Write::accumulate);
  CHECK(cublaslt_shim::calls().last == Algorithm::first);  // no room for trials, and nothing chosen yet
  for (const Write mode : {Write::overwrite, Write::accumulate}) {
    library.weight_gradient(dy, x, dw, mode);
    CHECK(cublaslt_shim::calls().last == Algorithm::alike);
  }
}

TEST_CASE("a product takes the bias that it is called with", "[cuda_shim][gemm]") {
  Library library;
  Rig& rig = library.rig;
  const Matrix x = Matrix::random(rig, DType::f32, 3, I, 1), w = Matrix::zeros(rig, DType::f32, O, I),
               y = Matrix::zeros(rig, DType::f32, 3, O);
  const Matrix ones(rig, DType::f32, 1, O, Values(O, 1.0)), twos(rig, DType::f32, 1, O, Values(O, 2.0));
  for (const Matrix* bias : {&ones, &twos, &ones}) {
    const GemmDescription d = describe_linear_forward(x, w, *bias, {}, y);
    library.gemm.run(*rig.stream, d, {w.view().data, x.view().data, bias->view().data, nullptr, y.view().data});
    CHECK(y.values() == Values(3 * O, bias->values().front()));
  }
}

TEST_CASE("trials of a product that adds to its result add once", "[cuda_shim][gemm]") {
  Library library;
  Rig& rig = library.rig;
  library.workspace->reserve(library.gemm.workspace_bytes() + 4096);  // with room for trials
  const Matrix x = Matrix::random(rig, DType::bf16, 100, I, 1, 1), dy = Matrix::random(rig, DType::bf16, 100, O, 2, 3),
               dw = Matrix::random(rig, DType::f32, O, I, 3, 2);
  const Values before = dw.values();
  const int products = cublaslt_shim::calls().products;
  library.weight_gradient(dy, x, dw, Write::accumulate);
  CHECK_THAT(dw.values(), near(before + summed_in_order(dy, x), 1e-6));
  CHECK(dw.intact());
  CHECK(cublaslt_shim::calls().products > products + 1);
}

TEST_CASE("a product is tried once for about as many tokens, and so is one that adds to its result",
          "[cuda_shim][gemm]") {
  Library library;
  Rig& rig = library.rig;
  const Matrix dw = Matrix::zeros(rig, DType::f32, O, I);
  const auto products_of = [&](int64_t T, Write mode) {
    const Matrix x = Matrix::random(rig, DType::bf16, T, I, 1), dy = Matrix::random(rig, DType::bf16, T, O, 2);
    const int before = cublaslt_shim::calls().products;
    library.weight_gradient(dy, x, dw, mode);
    return cublaslt_shim::calls().products - before;
  };
  CHECK(products_of(200, Write::accumulate) == 1);  // no room for trials, and nothing chosen yet
  CHECK(products_of(201, Write::overwrite) > 1);
  CHECK(products_of(201, Write::overwrite) == 1);
  CHECK(products_of(203, Write::overwrite) == 1);
  CHECK(products_of(200, Write::accumulate) == 1);
  CHECK(products_of(300, Write::overwrite) > 1);
}

TEST_CASE("the heuristics are queried once per shape", "[cuda_shim][gemm]") {
  Library library;
  Rig& rig = library.rig;
  const Matrix x = Matrix::random(rig, DType::bf16, 33, I, 1), dy = Matrix::random(rig, DType::bf16, 33, O, 2),
               dw = Matrix::zeros(rig, DType::f32, O, I);
  const int before = cublaslt_shim::calls().heuristics;
  for (int time = 0; time < 3; ++time) library.weight_gradient(dy, x, dw, Write::overwrite);
  CHECK(cublaslt_shim::calls().heuristics == before + 1);
}

}  // namespace tessera::test
