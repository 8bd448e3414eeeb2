#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "device/view.h"

namespace tessera::cuda {

/// Consecutive documents of a batch, each with `longest` rows of its own in a copy.
struct PaddedDocuments {
  const int32_t* cu_seqlens;  ///< on the device, [N+1]: from the first of them on
  int64_t N;
  int64_t places;   ///< documents of the copy, >= N: those beyond N are empty
  int64_t longest;  ///< no document has more tokens

  __host__ __device__ int64_t rows() const { return places * longest; }
};

/// to [rows(), cols], contiguous = from's rows, document by document, and zeros behind each.  Both of one type.
void pad_documents(cudaStream_t stream, const PaddedDocuments& documents, ConstView from, View to);
/// The way back: rows behind a document's end are not read, rows of `to` outside the documents stay.
void unpad_documents(cudaStream_t stream, const PaddedDocuments& documents, ConstView from, View to);
/// to [places, H, longest] = from [T, H], fp32, and zeros.
void pad_statistics(cudaStream_t stream, const PaddedDocuments& documents, ConstView from, float* to);

}  // namespace tessera::cuda
