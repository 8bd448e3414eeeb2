#include "kernels/cuda/attention_description.h"

#include <catch2/catch.hpp>

#include "support/kernel_test.h"

// How cuDNN is told of a batch.  That what it is told is attention, test/unit/cuda_shim/fused_attention.cpp shows.
namespace tessera::test {
namespace {

using D = AttentionDescription;

constexpr uintptr_t address = 4096;  // of every memory: stands for what a GPU would be given

/// Columns of a matrix of `pitch` columns and T rows.
ConstView slice(int64_t T, int64_t pitch, int64_t first, int64_t width) {
  return {reinterpret_cast<const void*>(address + static_cast<uintptr_t>(2 * first)), DType::bf16, T, width, pitch};
}

constexpr int64_t T = 13, H = 4, G = 2, width = 64;
const std::vector<int32_t> cu_seqlens = {0, 7, 7, 13};

AttentionShape shape_of_batch() {
  AttentionShape shape{};
  shape.H = H, shape.G = G, shape.D = width, shape.scale = 0.11f;
  shape.cu_seqlens = cu_seqlens.data();
  shape.N = static_cast<int64_t>(cu_seqlens.size()) - 1;
  return shape;
}

/// As the model holds them: q, k, v are columns of one matrix, their gradients of another one.
D describe_backward(const AttentionBucket& bucket, int64_t parts = 1) {
  const int64_t q = H * width, k = G * width, qkv = q + 2 * k + 8, dqkv = q + 2 * k;
  return describe_attention_backward(shape_of_batch(), bucket, true, parts, slice(T, qkv, 0, q), slice(T, qkv, q, k),
                                     slice(T, qkv, q + k, k), slice(T, q + 16, 0, q), slice(T, q + 24, 0, q),
                                     slice(T, dqkv, 0, q), slice(T, dqkv, q, k), slice(T, dqkv, q + k, k));
}

constexpr AttentionBucket bucket = {4, 128, 1024};

TEST_CASE("heads are shared out with their key heads, and so that statistics stay aligned",
          "[kernels][attention][description]") {
  const auto parts = [](int64_t H, int64_t G, int64_t wanted) {
    AttentionShape shape{};
    shape.H = H;
    shape.G = G;
    return attention_parts(shape, wanted);
  };
  CHECK(parts(32, 8, 1) == 1);
  CHECK(parts(32, 8, 3) == 4);
  CHECK(parts(32, 8, 8) == 8);
  CHECK(parts(32, 8, 9) == 0);
  CHECK(parts(9, 3, 1) == 1);
  CHECK(parts(9, 3, 2) == 0);
  CHECK(parts(24, 8, 2) == 2);
  CHECK(parts(24, 8, 3) == 0);  // parts of 6 and 3 heads
}

TEST_CASE("tensors of a description have the documents and lengths of its bucket",
          "[kernels][attention][description]") {
  const auto groups = attention_groups(shape_of_batch(), T, {1024, int64_t{1} << 31});
  REQUIRE(groups == std::vector<AttentionGroup>{{0, 3, bucket, 1}});
  const D d = describe_backward(bucket);
  for (const AttentionTensor& tensor : d.tensors) {
    CHECK(tensor.dim[0] == 4);
    CHECK(tensor.dim[2] == 128);
    CHECK(tensor.stride[3] == 1);
    CHECK(tensor.stride[0] == 128 * tensor.stride[2]);
    CHECK(d.offset_strides.at(static_cast<size_t>(tensor.offsets)) == tensor.stride[2]);
  }
  CHECK(d[D::statistics].dim[3] == 1);
  CHECK(d[D::statistics].dim[1] == 4);
  CHECK(d[D::dk].dim[1] == 2);
}

TEST_CASE("a gradient is as large as what it is the gradient of", "[kernels][attention][description]") {
  for (const int64_t parts : {1, 2}) {
    const D d = describe_backward(bucket, parts);
    CHECK(d[D::q].dim[1] == 4 / parts);
    CHECK(d[D::k].dim[1] == 2 / parts);
    CHECK(d[D::dq].dim == d[D::q].dim);
    CHECK(d[D::dk].dim == d[D::k].dim);
    CHECK(d[D::dv].dim == d[D::v].dim);
    CHECK(d[D::dout].dim == d[D::out].dim);
    CHECK(d[D::out].dim == d[D::q].dim);
    CHECK(d[D::v].dim == d[D::k].dim);
  }
}

TEST_CASE("padded tensors lie one behind the other, and count their places as tokens",
          "[kernels][attention][description]") {
  const D d = describe_attention_backward_padded(shape_of_batch(), bucket, true, 2);
  CHECK(d.bucket == AttentionBucket{4, 128, 512});
  CHECK(d.offset_strides.empty());
  CHECK(d[D::q].dim == std::array<int64_t, 4>{4, 2, 128, 64});
  CHECK(d[D::q].stride == std::array<int64_t, 4>{128 * 2 * 64, 64, 2 * 64, 1});
  CHECK(d[D::dk] == d[D::v]);
  CHECK(d[D::k].dim[1] == 1);
  CHECK(d[D::statistics].stride == std::array<int64_t, 4>{2 * 128, 128, 1, 1});
}

TEST_CASE("what a call takes of the workspace does not overlap", "[kernels][attention][description]") {
  for (const D& d :
       {describe_backward(bucket), describe_attention_backward_padded(shape_of_batch(), bucket, true, 1)}) {
    const AttentionRoom room = attention_room(d, 1000);
    const auto bytes = [&](D::Role role) {
      return d.bucket.tokens * d[role].dim[1] * d[role].dim[3] * (role == D::statistics ? 4 : 2);
    };
    int64_t end = room.lengths + d.bucket.documents * 4;
    CHECK(room.lengths >= static_cast<int64_t>(d.offset_strides.size()) * 8 * (d.bucket.documents + 1));
    for (int role = 0; role < D::roles; ++role) {
      if (!d.copied(role)) continue;
      CHECK(room.copies.at(static_cast<size_t>(role)) >= end);
      end = room.copies.at(static_cast<size_t>(role)) + bytes(static_cast<D::Role>(role));
    }
    CHECK(room.library >= end);
    CHECK(room.end == room.library + 1000);
  }
  CHECK(describe_backward(bucket).copied(D::dk));
  CHECK(!describe_backward(bucket).copied(D::dq));
}

TEST_CASE("a gradient that lies as its tensor does is described alike", "[kernels][attention][description]") {
  AttentionShape shape = shape_of_batch();
  shape.H = 2;
  const ConstView all = slice(5, 384, 0, 128);
  for (const int64_t parts : {1, 2}) {
    const D d = describe_attention_backward(shape, {1, 128, 8}, false, parts, all, all, all, all, all, all, all, all);
    REQUIRE(d.offset_strides.size() == 5);
    CHECK(d[D::dq] == d[D::q]);
    CHECK(d[D::dk] == d[D::k]);
    CHECK(d[D::dv] == d[D::v]);
    CHECK(d[D::dout] == d[D::out]);
  }
}

TEST_CASE("cuDNN is asked for bf16, heads of 64 to 256 in eights, and aligned rows",
          "[kernels][attention][description]") {
  const auto obstacle = [](int64_t width, DType dtype, uintptr_t address, int64_t stride) {
    AttentionShape shape{};
    shape.D = width;
    return attention_obstacle(shape, {ConstView(reinterpret_cast<const void*>(address), dtype, 9, width, stride)});
  };
  CHECK(obstacle(64, DType::bf16, 4096, 64).empty());
  CHECK(obstacle(256, DType::bf16, 4112, 264).empty());
  CHECK_THAT(obstacle(32, DType::bf16, 4096, 64), Catch::Contains("heads of 32"));
  CHECK_THAT(obstacle(260, DType::bf16, 4096, 260), Catch::Contains("heads of 260"));
  CHECK_THAT(obstacle(68, DType::bf16, 4096, 72), Catch::Contains("heads of 68"));
  CHECK_THAT(obstacle(64, DType::f32, 4096, 64), Catch::Contains("fp32"));
  CHECK_THAT(obstacle(64, DType::bf16, 4098, 64), Catch::Contains("aligned"));
  CHECK_THAT(obstacle(64, DType::bf16, 4096, 68), Catch::Contains("aligned"));
}

TEST_CASE("a description of attention says in words what it asks for", "[kernels][attention][description]") {
  CHECK(in_words(describe_backward(bucket)) ==
        "deterministic attention_backward of at most 4 documents of at most 128 tokens, 4 query and 2 key heads of 64");
  AttentionShape shape = shape_of_batch();
  shape.window = 3;
  CHECK(in_words(describe_attention_backward_padded(shape, bucket, false, 1)) ==
        "attention_backward of at most 4 padded documents of at most 128 tokens, 4 query and 2 key heads of 64, "
        "window 3");
}

}  // namespace
}  // namespace tessera::test
