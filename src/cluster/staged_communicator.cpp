#include "cluster/staged_communicator.h"

namespace tessera {

char* StagedCommunicator::staging(Stream& stream, int64_t bytes) {
  if (staging_.bytes() < bytes) {
    stream.synchronize();  // what it still holds is in use until then
    staging_ = Buffer(device_, bytes, "staging of collectives", Memory::host);
  }
  return staging_.as<char>();
}

void StagedCommunicator::all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) {
  char* all = staging(stream, bytes * size());
  char* own = all + bytes * rank();
  stream.transfer(send, own, bytes);
  group().all_gather(stream, own, all, bytes, std::move(name));
  stream.transfer(all, recv, bytes * size());
}

void StagedCommunicator::reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count,
                                        CollectiveName name) {
  const int64_t bytes = count * size_of(DType::f32);
  char* sent = staging(stream, bytes * (size() + 1));
  char* received = sent + bytes * size();
  stream.transfer(send, sent, bytes * size());
  group().reduce_scatter(stream, reinterpret_cast<const float*>(sent), reinterpret_cast<float*>(received), count,
                         std::move(name));
  stream.transfer(received, recv, bytes);
}

void StagedCommunicator::all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) {
  const int64_t bytes = count * size_of(DType::f32);
  char* staged = staging(stream, bytes);
  stream.transfer(data, staged, bytes);
  group().all_reduce(stream, reinterpret_cast<float*>(staged), count, std::move(name));
  stream.transfer(staged, data, bytes);
}

}  // namespace tessera
