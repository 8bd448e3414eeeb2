#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

/// A collective in NCCL's terms, computed without NCCL, so that it can be tested without NCCL.
namespace tessera {

struct CollectiveCall {
  enum class Kind { all_gather, reduce_scatter, all_reduce };
  enum class Element { byte, f32 };

  Kind kind;
  const void* send;
  void* recv;
  size_t count;  ///< elements of one rank: NCCL's sendcount of an all-gather, recvcount of a reduce-scatter, else count
  Element element;

  /// Nothing to send on any rank of the group: NCCL is not called.
  bool empty() const { return count == 0; }
};

inline CollectiveCall collective_call(CollectiveCall::Kind kind, const void* send, void* recv, int64_t count,
                                      CollectiveCall::Element element) {
  if (count < 0) throw std::logic_error("a collective was given a negative size");
  return {kind, send, recv, static_cast<size_t>(count), element};
}

/// The arguments are those of Communicator's collectives.  A sum in place is NCCL's with send = recv.
inline CollectiveCall all_gather_call(const void* send, void* recv, int64_t bytes) {
  return collective_call(CollectiveCall::Kind::all_gather, send, recv, bytes, CollectiveCall::Element::byte);
}
inline CollectiveCall reduce_scatter_call(const float* send, float* recv, int64_t count) {
  return collective_call(CollectiveCall::Kind::reduce_scatter, send, recv, count, CollectiveCall::Element::f32);
}
inline CollectiveCall all_reduce_call(float* data, int64_t count) {
  return collective_call(CollectiveCall::Kind::all_reduce, data, data, count, CollectiveCall::Element::f32);
}

/// Address and bytes of what a call reads and writes on a rank, for NCCL to register: each memory once, so an
/// all-gather in place is its receiving side alone.
inline std::vector<std::pair<void*, size_t>> memory_of(const CollectiveCall& call, int ranks) {
  const size_t one = call.count * (call.element == CollectiveCall::Element::f32 ? sizeof(float) : 1);
  const size_t all = one * static_cast<size_t>(ranks);
  void* const send = const_cast<void*>(call.send);  // registered only
  switch (call.kind) {
    case CollectiveCall::Kind::all_gather: {
      const auto* begin = static_cast<const char*>(call.recv);
      const bool in_place = call.send >= begin && call.send < begin + all;
      if (in_place) return {{call.recv, all}};
      return {{send, one}, {call.recv, all}};
    }
    case CollectiveCall::Kind::reduce_scatter:
      return {{send, all}, {call.recv, one}};
    default:
      return {{call.recv, one}};
  }
}

}  // namespace tessera
