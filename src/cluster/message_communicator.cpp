#include "cluster/message_communicator.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "cluster/exchange.h"
#include "cluster/rank_order_sum.h"

namespace tessera {
namespace {

/// A sum waits for every rank's piece; while it is made, the next pieces arrive in the other slots.
constexpr int ring_slots = 8;
constexpr int64_t bytes_of_all_rings = 32 << 20;  // of all rings together, where many ranks make the pieces small
constexpr int64_t largest_sum_piece = 1 << 20;
constexpr int64_t smallest_sum_piece = 64 << 10;

/// The same on every rank of the group, because sender and receiver cut alike.
int64_t sum_piece_bytes(int ranks) {
  const int64_t fair = bytes_of_all_rings / (ring_slots * std::max<int64_t>(1, ranks - 1));
  return std::clamp(fair / 4096 * 4096, smallest_sum_piece, largest_sum_piece);
}

/// n elements in `ranks` slices whose lengths differ by one at most.
std::vector<int64_t> even_bounds(int64_t n, int ranks) {
  std::vector<int64_t> bounds;
  for (int64_t r = 0; r <= ranks; ++r) bounds.push_back(n * r / ranks);
  return bounds;
}

void check(bool sane, const CollectiveName& name) {
  if (!sane) throw std::logic_error("a collective was given a negative size or a root outside its group: " + name);
}

}  // namespace

MessageCommunicator::MessageCommunicator(std::unique_ptr<Transport> transport)
    : MessageCommunicator(std::move(transport), std::make_shared<std::atomic<double>>(300.0)) {}

MessageCommunicator::MessageCommunicator(std::unique_ptr<Transport> transport, Timeout timeout)
    : transport_(std::move(transport)), timeout_(std::move(timeout)) {}

Exchange MessageCommunicator::begin(Lane lane, const CollectiveName& name) const {
  return {*transport_, lane, name, timeout()};
}

std::vector<int> MessageCommunicator::others() const {
  std::vector<int> ranks;
  for (int step = 1; step < size(); ++step) ranks.push_back((rank() + step) % size());
  return ranks;
}

char* MessageCommunicator::scratch(int64_t bytes) {
  if (scratch_.size() < static_cast<size_t>(bytes)) scratch_.resize(static_cast<size_t>(bytes));
  return scratch_.data();
}

void MessageCommunicator::enqueue(Stream& stream, std::function<void()> collective) {
  stream.enqueue([this, collective = std::move(collective)] {
    const std::unique_lock alone(stream_in_use_, std::try_to_lock);
    if (!alone) throw std::logic_error("two streams are inside collectives of one group");
    collective();
  });
}

void MessageCommunicator::gather(Lane lane, const void* send, void* recv, int64_t bytes,
                                 const CollectiveName& name) const {
  auto* all = static_cast<char*>(recv);
  Exchange exchange = begin(lane, name);
  for (const int peer : others()) {
    exchange.send(peer, send, bytes);
    exchange.receive(peer, all + peer * bytes, bytes);
  }
  exchange.start();
  char* own = all + rank() * bytes;
  if (own != send && bytes > 0) std::memcpy(own, send, static_cast<size_t>(bytes));
  exchange.finish();
}

void MessageCommunicator::all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) {
  check(bytes >= 0, name);
  enqueue(stream, [=, this, name = std::move(name)] { gather(Lane::stream, send, recv, bytes, name); });
}

void MessageCommunicator::reduce_slices(Exchange& exchange, const float* data, const std::vector<int64_t>& bounds,
                                        const Store& store) {
  const auto slice_bytes = [&](int r) {
    return (bounds[static_cast<size_t>(r) + 1] - bounds[static_cast<size_t>(r)]) * int64_t{sizeof(float)};
  };
  const int64_t piece_bytes = sum_piece_bytes(size());
  char* rings = scratch(ring_slots * piece_bytes * (size() - 1));
  std::vector<int> flows(static_cast<size_t>(size()), -1);
  for (const int peer : others()) {
    exchange.send(peer, data + bounds[static_cast<size_t>(peer)], slice_bytes(peer), piece_bytes);
    flows[static_cast<size_t>(peer)] =
        exchange.receive_in_ring(peer, rings, ring_slots, slice_bytes(rank()), piece_bytes);
    rings += ring_slots * piece_bytes;
  }

  const float* own = data + bounds[static_cast<size_t>(rank())];
  const int64_t count = slice_bytes(rank()) / int64_t{sizeof(float)};
  const int64_t step = piece_bytes / int64_t{sizeof(float)};
  std::vector<const float*> parts(static_cast<size_t>(size()));
  for (int64_t begin = 0, piece = 0; begin < count; begin += step, ++piece) {
    for (size_t r = 0; r < parts.size(); ++r) {
      parts[r] = flows[r] < 0 ? own + begin : static_cast<const float*>(exchange.wait_piece(flows[r], piece));
    }
    sum_in_rank_order(parts, std::min(step, count - begin),
                      [&](int64_t i, const float* sums, int64_t n) { store(begin + i, sums, n); });
    for (const int flow : flows) {
      if (flow >= 0) exchange.release_piece(flow);
    }
  }
  exchange.finish();
}

void MessageCommunicator::reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count,
                                         CollectiveName name) {
  check(count >= 0, name);
  enqueue(stream, [=, this, name = std::move(name)] {
    Exchange exchange = begin(Lane::stream, name);
    reduce_slices(exchange, send, even_bounds(count * size(), size()),
                  [&](int64_t begin, const float* sums, int64_t n) { std::copy_n(sums, n, recv + begin); });
  });
}

void MessageCommunicator::reduce_small(float* data, int64_t count, const CollectiveName& name) {
  const int64_t bytes = count * int64_t{sizeof(float)};
  auto* all = reinterpret_cast<float*>(scratch(size() * bytes));
  gather(Lane::stream, data, all, bytes, name);
  std::vector<const float*> parts(static_cast<size_t>(size()));
  for (size_t r = 0; r < parts.size(); ++r) parts[r] = all + static_cast<int64_t>(r) * count;
  sum_in_rank_order(parts, count,
                    [&](int64_t begin, const float* sums, int64_t n) { std::copy_n(sums, n, data + begin); });
}

/// Each rank sums its slice and hands it out.  A slice is overwritten by its sum only after it has been sent.
void MessageCommunicator::reduce_large(float* data, int64_t count, const CollectiveName& name) {
  const std::vector<int64_t> bounds = even_bounds(count, size());
  const auto slice = [&](int r) { return data + bounds[static_cast<size_t>(r)]; };
  const auto slice_bytes = [&](int r) { return (slice(r + 1) - slice(r)) * int64_t{sizeof(float)}; };
  Exchange exchange = begin(Lane::stream, name);
  reduce_slices(exchange, data, bounds,
                [&](int64_t begin, const float* sums, int64_t n) { std::copy_n(sums, n, slice(rank()) + begin); });
  for (const int peer : others()) {
    exchange.send(peer, slice(rank()), slice_bytes(rank()));
    exchange.receive(peer, slice(peer), slice_bytes(peer));
  }
  exchange.finish();
}

void MessageCommunicator::all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) {
  check(count >= 0, name);
  enqueue(stream, [=, this, name = std::move(name)] {
    if (count * int64_t{sizeof(float)} <= small_sum_bytes) {
      reduce_small(data, count, name);
    } else {
      reduce_large(data, count, name);
    }
  });
}

void MessageCommunicator::all_gather_host(const void* send, void* recv, int64_t bytes, CollectiveName name) {
  check(bytes >= 0, name);
  gather(Lane::control, send, recv, bytes, name);
}

void MessageCommunicator::broadcast_host(void* data, int64_t bytes, int root, CollectiveName name) {
  check(bytes >= 0 && root >= 0 && root < size(), name);
  Exchange exchange = begin(Lane::control, name);
  if (rank() == root) {
    for (const int peer : others()) exchange.send(peer, data, bytes);
  } else {
    exchange.receive(root, data, bytes);
  }
  exchange.finish();
}

std::unique_ptr<Communicator> MessageCommunicator::split(int color, const std::string& name) {
  std::vector<int> colors(static_cast<size_t>(size()));
  all_gather_host(&color, colors.data(), sizeof color, "split(" + name + ")");
  std::vector<int> members;
  for (int r = 0; r < size(); ++r) {
    if (colors[static_cast<size_t>(r)] == color) members.push_back(r);
  }
  return std::unique_ptr<Communicator>(new MessageCommunicator(transport_->subgroup(members), timeout_));
}

}  // namespace tessera
