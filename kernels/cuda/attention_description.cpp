#include "kernels/cuda/attention_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "base/number.h"
#include "kernels/cuda/workspace.h"

namespace tessera {
namespace {

constexpr int64_t query_tile = 128;
constexpr int64_t narrowest_head = 64, widest_head = 256;
constexpr int64_t alignment_bytes = 16;

int64_t power_of_two(int64_t value) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(value, 1))));
}

int64_t power_of_four(int64_t value) {
  int64_t power = 1;
  while (power < value) power *= 4;
  return power;
}

int64_t bucket_length(int64_t tokens) { return std::max(power_of_two(tokens), query_tile); }

/// Documents of a group of at most `longest`; a power of two.
int64_t places_of(int64_t longest, int64_t heads, int64_t tokens, int64_t score_bytes) {
  const int64_t by_memory = score_bytes / attention_score_bytes({1, longest, tokens}, heads);
  return static_cast<int64_t>(
      std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(std::min(tokens / longest, by_memory), 1))));
}

AttentionGroup group(const AttentionShape& shape, int64_t first, int64_t count, const AttentionBucket& bucket,
                     const AttentionLimits& limits) {
  constexpr int64_t allowed_at_most = 4;  // times the limit, rather than kernels that are many times slower
  const int64_t wanted = ceil_div(attention_score_bytes(bucket, shape.H), limits.score_bytes);
  int64_t parts = attention_parts(shape, wanted);
  for (int64_t fewer = shape.G; parts == 0 && fewer * allowed_at_most >= wanted; --fewer)
    if (attention_parts(shape, fewer) == fewer) parts = fewer;
  return {first, count, bucket, parts};
}

bool aligned(const ConstView& view) {
  return reinterpret_cast<uintptr_t>(view.data) % alignment_bytes == 0 &&
         (view.rows <= 1 || view.row_stride * size_of(view.dtype) % alignment_bytes == 0);
}

/// A [T, heads · width] matrix whose rows lie `row_stride` apart.
AttentionTensor tensor(const AttentionBucket& bucket, int64_t heads, int64_t width, int64_t row_stride, int offsets) {
  return {
      {bucket.documents, heads, bucket.longest, width}, {bucket.longest * row_stride, width, row_stride, 1}, offsets};
}

/// Adds tensors one by one.  A gradient shares the offsets of what it is the gradient of if it lies alike, so that the
/// graph looks as usual: they are the same tensor of it then.
class Builder {
 public:
  using D = AttentionDescription;

  Builder(const AttentionShape& shape, const AttentionBucket& bucket) : shape_(shape) {
    made.bucket = bucket;
    made.scale = shape.scale;
    made.left_bound = shape.window;
  }

  void add(D::Role role, int64_t heads, int64_t width, int64_t row_stride) {
    made.offset_strides.push_back(row_stride);
    made.tensors[role] =
        tensor(made.bucket, heads / made.parts, width, row_stride, narrow<int>(made.offset_strides.size() - 1));
  }
  void add_gradient(D::Role role, D::Role of, int64_t heads, int64_t row_stride) {
    const AttentionTensor& other = made.tensors[of];
    if (other.stride[2] != row_stride) return add(role, heads, shape_.D, row_stride);
    made.tensors[role] = tensor(made.bucket, heads / made.parts, shape_.D, row_stride, other.offsets);
  }
  void add_forward(const ConstView& q, const ConstView& k, const ConstView& v, const ConstView& out) {
    add(D::q, shape_.H, shape_.D, q.row_stride);
    add(D::k, shape_.G, shape_.D, k.row_stride);
    add(D::v, shape_.G, shape_.D, v.row_stride);
    add(D::out, shape_.H, shape_.D, out.row_stride);
    add(D::statistics, shape_.H, 1, shape_.H);
  }

  D made;

 private:
  const AttentionShape& shape_;
};

}  // namespace

std::vector<AttentionGroup> attention_groups(const AttentionShape& shape, int64_t tokens,
                                             const AttentionLimits& limits) {
  const int64_t most_tokens = tokens <= limits.tokens ? limits.tokens : power_of_two(tokens);
  const auto bucket_of = [&](int64_t n) { return bucket_length(shape.cu_seqlens[n + 1] - shape.cu_seqlens[n]); };
  std::vector<AttentionGroup> groups;
  for (int64_t n = 0; n < shape.N;) {
    const int64_t longest = bucket_of(n), places = places_of(longest, shape.H, most_tokens, limits.score_bytes);
    int64_t count = 1;
    while (count < places && n + count < shape.N && bucket_of(n + count) <= longest) ++count;
    groups.push_back(group(shape, n, count, {std::min(power_of_four(count), places), longest, most_tokens}, limits));
    n += count;
  }
  return groups;
}

AttentionGroup largest_attention_group(const AttentionShape& shape, int64_t longest, const AttentionLimits& limits) {
  AttentionGroup largest{};
  for (int64_t length = query_tile; length <= bucket_length(longest); length *= 2) {
    const int64_t places = places_of(length, shape.H, limits.tokens, limits.score_bytes);
    const AttentionGroup found = group(shape, 0, places, {places, length, limits.tokens}, limits);
    const auto bytes = [&](const AttentionGroup& g) {
      return g.parts == 0 ? 0 : attention_score_bytes(g.bucket, shape.H) / g.parts;
    };
    if (bytes(found) > bytes(largest)) largest = found;  // of equal ones that in fewer parts: its copies are larger
  }
  return largest;
}

std::string attention_obstacle(const AttentionShape& shape, const std::vector<ConstView>& views) {
  if (shape.softcap > 0) return "scores with a soft cap";
  if (shape.D < narrowest_head || shape.D > widest_head || shape.D % 8 != 0)
    return fmt::format("heads of {}, not {} to {} in eights", shape.D, narrowest_head, widest_head);
  for (const ConstView& view : views) {
    if (view.dtype != DType::bf16) return fmt::format("{}, not bf16", name_of(view.dtype));
    if (!aligned(view)) return fmt::format("rows that are not aligned to {} bytes", alignment_bytes);
  }
  return {};
}

AttentionDescription describe_attention_forward(const AttentionShape& shape, const AttentionBucket& bucket, ConstView q,
                                                ConstView k, ConstView v, ConstView out) {
  Builder builder(shape, bucket);
  builder.add_forward(q, k, v, out);
  return builder.made;
}

AttentionDescription describe_attention_backward(const AttentionShape& shape, const AttentionBucket& bucket,
                                                 bool deterministic, int64_t parts, ConstView q, ConstView k,
                                                 ConstView v, ConstView out, ConstView dout, ConstView dq, ConstView dk,
                                                 ConstView dv) {
  using D = AttentionDescription;
  const int64_t width = div_exact(shape.G, parts) * shape.D;
  Builder builder(shape, bucket);
  builder.made.parts = parts;
  builder.made.backward = true;
  builder.made.deterministic = deterministic;
  builder.made.key_gradients_apart = shape.H > shape.G && (dk.row_stride > width || dv.row_stride > width);
  const bool apart = builder.made.key_gradients_apart;
  builder.add_forward(q, k, v, out);
  builder.add_gradient(D::dout, D::out, shape.H, dout.row_stride);
  builder.add_gradient(D::dq, D::q, shape.H, dq.row_stride);
  builder.add_gradient(D::dk, D::k, shape.G, apart ? width : dk.row_stride);
  builder.add_gradient(D::dv, D::v, shape.G, apart ? width : dv.row_stride);
  return builder.made;
}

AttentionDescription describe_attention_backward_padded(const AttentionShape& shape, const AttentionBucket& bucket,
                                                        bool deterministic, int64_t parts) {
  using D = AttentionDescription;
  D made;
  made.bucket = {bucket.documents, bucket.longest, bucket.documents * bucket.longest};
  made.scale = shape.scale;
  made.left_bound = shape.window;
  made.backward = made.padded = true;
  made.deterministic = deterministic;
  made.parts = parts;
  for (int role = 0; role < D::roles; ++role) {
    const bool of_keys = role == D::k || role == D::v || role == D::dk || role == D::dv;
    const int64_t heads = div_exact(of_keys ? shape.G : shape.H, parts);
    made.tensors[static_cast<size_t>(role)] = tensor(made.bucket, heads, shape.D, heads * shape.D, 0);
  }
  const int64_t heads = shape.H / parts, longest = bucket.longest;
  made.tensors[D::statistics] = {{bucket.documents, heads, longest, 1}, {heads * longest, longest, 1, 1}, 0};
  return made;
}

AttentionRoom attention_room(const AttentionDescription& d, int64_t library_bytes) {
  using D = AttentionDescription;
  AttentionRoom room{};
  int64_t end = 0;
  const auto place = [&](int64_t bytes) {
    const int64_t begin = end;
    end = round_up(end + bytes, workspace_alignment);
    return begin;
  };
  room.offsets = place(static_cast<int64_t>(d.offset_strides.size()) * attention_offsets_pitch(d.bucket.documents) *
                       int64_t{sizeof(int64_t)});
  room.lengths = place(d.bucket.documents * int64_t{sizeof(int32_t)});
  for (int64_t role = 0; role < d.roles_used(); ++role) {
    if (!d.copied(role)) continue;
    const auto& dim = d.tensors[static_cast<size_t>(role)].dim;
    const int64_t row = dim[1] * dim[3] * size_of(role == D::statistics ? DType::f32 : DType::bf16);
    room.copies[static_cast<size_t>(role)] = place(d.bucket.tokens * row);
  }
  room.library = place(library_bytes);
  room.end = room.library + library_bytes;
  return room;
}

int64_t attention_parts(const AttentionShape& shape, int64_t wanted) {
  const auto fits = [&](int64_t parts) {
    return shape.G % parts == 0 && (parts == 1 || shape.H / parts * int64_t{sizeof(float)} % alignment_bytes == 0);
  };
  for (int64_t parts = std::max<int64_t>(wanted, 1); parts <= shape.G; ++parts)
    if (fits(parts)) return parts;
  return 0;
}

std::string in_words(const AttentionDescription& d) {
  const AttentionTensor& q = d[AttentionDescription::q];
  return fmt::format("{}attention_{} of at most {}{} documents of at most {} tokens, {} query and {} key heads of {}{}",
                     d.deterministic ? "deterministic " : "", d.backward ? "backward" : "forward", d.bucket.documents,
                     d.padded ? " padded" : "", d.bucket.longest, q.dim[1], d[AttentionDescription::k].dim[1], q.dim[3],
                     d.left_bound > 0 ? fmt::format(", window {}", d.left_bound) : "");
}

}  // namespace tessera
