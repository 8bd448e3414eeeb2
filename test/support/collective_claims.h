#pragma once
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"
#include "device/device.h"

/// What every communicator does, as claims that a rank checks with its neighbours: for threads in one process and for
/// ranks under mpirun.
namespace tessera::test {

/// Runs as one rank of the group; returns what is wrong, empty where the claim holds.
struct CollectiveClaim {
  std::string sentence;
  std::function<std::string(Communicator&, Stream&)> check;
};

/// Values of very different sizes: their fp32 sum depends on the order.
inline float value_of(int rank, int64_t i) {
  static const std::vector<float> table = [] {
    std::vector<float> values;
    for (int64_t k = 0; k < 4096; ++k) {
      const float scale = k % 3 == 0 ? 1e6f : k % 3 == 1 ? 1.0f : 1e-4f;
      values.push_back(scale * (static_cast<float>(k * 2654435761 % 1000003) / 500001.0f - 1.0f));
    }
    return values;
  }();
  return table[static_cast<size_t>((i + (i >> 12) + rank * 1361) & 4095)];
}

inline float sum_of_ranks(int ranks, int64_t i) {
  float sum = value_of(0, i);
  for (int r = 1; r < ranks; ++r) sum += value_of(r, i);
  return sum;
}

inline char byte_of(int rank, int64_t i) { return static_cast<char>(i * 31 + rank * 7 + (i >> 12)); }

inline std::vector<float> values_of(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = value_of(rank, i);
  return values;
}

inline std::vector<char> bytes_of(int rank, int64_t count) {
  std::vector<char> bytes(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) bytes[static_cast<size_t>(i)] = byte_of(rank, i);
  return bytes;
}

/// None, one, odd, and several pieces.
inline const std::vector<int64_t> byte_counts = {0, 1, 7, 4097, 5 * 1048576 + 3};
inline const std::vector<int64_t> float_counts = {0, 1, 63, 1000, 16385, 1200007};

template <typename T>
std::string difference(const std::string& what, int64_t size, const std::vector<T>& got,
                       const std::vector<T>& expected) {
  const bool same_size = got.size() == expected.size();  // nothing has no address that memcmp might be given
  if (same_size && (got.empty() || std::memcmp(got.data(), expected.data(), got.size() * sizeof(T)) == 0)) return {};
  return what + " of " + std::to_string(size) + " differs from what it should be";
}

inline std::vector<char> gathered(int ranks, int64_t bytes) {
  std::vector<char> all;
  for (int r = 0; r < ranks; ++r) {
    const std::vector<char> part = bytes_of(r, bytes);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

inline std::string check_all_gather(Communicator& group, Stream& stream) {
  for (const int64_t bytes : byte_counts) {
    const std::vector<char> send = bytes_of(group.rank(), bytes);
    std::vector<char> recv(static_cast<size_t>(bytes * group.size()), 'x');
    group.all_gather(stream, send.data(), recv.data(), bytes, "all_gather");
    stream.synchronize();
    if (auto d = difference("all_gather", bytes, recv, gathered(group.size(), bytes)); !d.empty()) return d;
  }
  return {};
}

inline std::string check_all_gather_in_place(Communicator& group, Stream& stream) {
  for (const int64_t bytes : byte_counts) {
    const std::vector<char> send = bytes_of(group.rank(), bytes);
    std::vector<char> recv(static_cast<size_t>(bytes * group.size()), 'x');
    char* own = recv.data() + group.rank() * bytes;
    std::copy(send.begin(), send.end(), own);
    group.all_gather(stream, own, recv.data(), bytes, "all_gather in place");
    stream.synchronize();
    if (auto d = difference("all_gather in place", bytes, recv, gathered(group.size(), bytes)); !d.empty()) return d;
  }
  return {};
}

inline std::string check_reduce_scatter(Communicator& group, Stream& stream) {
  for (const int64_t count : float_counts) {
    const std::vector<float> send = values_of(group.rank(), count * group.size());
    std::vector<float> recv(static_cast<size_t>(count), 3.0f);
    std::vector<float> expected(recv);
    for (int64_t i = 0; i < count; ++i) {
      expected[static_cast<size_t>(i)] = sum_of_ranks(group.size(), group.rank() * count + i);
    }
    group.reduce_scatter(stream, send.data(), recv.data(), count, "reduce_scatter");
    stream.synchronize();
    if (auto d = difference("reduce_scatter", count, recv, expected); !d.empty()) return d;
    if (auto d = difference("the input of reduce_scatter", count, send, values_of(group.rank(), count * group.size()));
        !d.empty()) {
      return d;
    }
  }
  return {};
}

inline std::string check_all_reduce(Communicator& group, Stream& stream) {
  for (const int64_t count : float_counts) {
    std::vector<float> data = values_of(group.rank(), count);
    std::vector<float> expected(data);
    for (int64_t i = 0; i < count; ++i) expected[static_cast<size_t>(i)] = sum_of_ranks(group.size(), i);
    group.all_reduce(stream, data.data(), count, "all_reduce");
    stream.synchronize();
    if (auto d = difference("all_reduce", count, data, expected); !d.empty()) return d;
  }
  return {};
}

inline std::string check_host_collectives(Communicator& group, Stream&) {
  for (const int64_t bytes : {0, 1, 12, 100001}) {
    std::vector<char> recv(static_cast<size_t>(bytes * group.size()), 'x');
    group.all_gather_host(bytes_of(group.rank(), bytes).data(), recv.data(), bytes, "all_gather_host");
    if (auto d = difference("all_gather_host", bytes, recv, gathered(group.size(), bytes)); !d.empty()) return d;
    for (const int root : {0, group.size() - 1}) {
      std::vector<char> data = bytes_of(group.rank(), bytes);
      group.broadcast_host(data.data(), bytes, root, "broadcast_host");
      if (auto d = difference("broadcast_host", bytes, data, bytes_of(root, bytes)); !d.empty()) return d;
    }
  }
  return {};
}

/// More pieces than are in flight at a time, sent and summed.
inline std::string check_many_pieces(Communicator& group, Stream& stream) {
  constexpr int64_t float_count = (18 << 18) + 3;  // floats: 18 MiB and a little
  const std::vector<float> own = values_of(group.rank(), float_count);
  std::vector<float> all(static_cast<size_t>(float_count * group.size())), sums(static_cast<size_t>(float_count), 0.0f);
  group.all_gather(stream, own.data(), all.data(), float_count * int64_t{sizeof(float)}, "a large all_gather");
  group.reduce_scatter(stream, all.data(), sums.data(), float_count, "a large reduce_scatter");
  stream.synchronize();
  // Every rank summed as many equal copies of what this rank sent as there are ranks.
  std::vector<float> expected(own);
  for (int r = 1; r < group.size(); ++r) {
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += own[i];
  }
  return difference("all_gather and reduce_scatter", float_count, sums, expected);
}

/// Even and odd ranks apart, then each of them alone.
inline std::string check_split(Communicator& group, Stream& stream) {
  const auto half = group.split(group.rank() % 2, "even and odd");
  if (half->rank() != group.rank() / 2) return "a split group does not keep the order of ranks";
  if (half->size() != (group.size() + 1 - group.rank() % 2) / 2) return "a split group has the wrong size";
  float sum = static_cast<float>(group.rank());
  float expected = 0;
  for (int r = group.rank() % 2; r < group.size(); r += 2) expected += static_cast<float>(r);
  half->all_reduce(stream, &sum, 1, "all_reduce in half");
  stream.synchronize();
  if (sum != expected) return "a sum in a split group takes other ranks in, or leaves some out";
  const auto alone = half->split(half->rank(), "alone");
  if (alone->size() != 1) return "a group split by rank has more than one rank";
  if (auto problem = check_reduce_scatter(*half, stream); !problem.empty()) return problem + ", in a split group";
  if (auto problem = check_all_gather(*alone, stream); !problem.empty()) return problem + ", in a group of one";
  return {};
}

inline std::string check_control_beside_stream(Communicator& group, Stream& stream) {
  constexpr int64_t bytes_sent_at_once = 1500001;
  constexpr int repetitions = 5;
  const std::vector<char> send = bytes_of(group.rank(), bytes_sent_at_once);
  std::vector<std::vector<char>> recv(repetitions,
                                      std::vector<char>(static_cast<size_t>(bytes_sent_at_once * group.size())));
  for (auto& all : recv)
    group.all_gather(stream, send.data(), all.data(), bytes_sent_at_once, "all_gather beside control");
  for (int time = 0; time < repetitions; ++time) {
    const int own = group.rank() * 100 + time;
    std::vector<int> all(static_cast<size_t>(group.size()));
    group.all_gather_host(&own, all.data(), sizeof own, "control beside stream");
    for (int r = 0; r < group.size(); ++r) {
      if (all[static_cast<size_t>(r)] != r * 100 + time) return "a control message took another one's place";
    }
  }
  stream.synchronize();
  for (const auto& all : recv) {
    if (auto d = difference("all_gather beside control", bytes_sent_at_once, all,
                            gathered(group.size(), bytes_sent_at_once));
        !d.empty())
      return d;
  }
  return {};
}

inline std::vector<CollectiveClaim> collective_claims() {
  return {
      {"all_gather puts every rank's bytes in the order of ranks", check_all_gather},
      {"all_gather works in place", check_all_gather_in_place},
      {"reduce_scatter gives the sum, made in the order of ranks, bit for bit", check_reduce_scatter},
      {"all_reduce gives every rank the sum in the order of ranks, bit for bit", check_all_reduce},
      {"data of more pieces than are in flight at a time arrives whole", check_many_pieces},
      {"host-side collectives do the same for control messages", check_host_collectives},
      {"split makes groups that keep to themselves", check_split},
      {"control messages and a stream's collectives run side by side", check_control_beside_stream},
  };
}

}  // namespace tessera::test
