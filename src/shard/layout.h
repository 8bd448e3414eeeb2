#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/units.h"

/// The shard room: what each rank holds, and when units are gathered, released and reduced (docs/sharding.md has the
/// picture).
namespace tessera {

/// Where what is trained of a unit lies.
struct UnitShard {
  UnitSpec spec;
  size_t bucket = 0;
  int64_t offset = 0;  ///< elements from the beginning of the bucket
  int64_t extent = 0;  ///< elements up to what is next in the bucket, padding included
};

/// What is gathered, and whose gradients are reduced, in one message: what is trained of a unit, or of several
/// neighbours.  Its flat buffer is padded to a multiple of ranks × 64 elements (with blocks: ranks × a block) and cut
/// into equal slices; this rank's slices of all buckets lie behind one another in its flat shard.
struct Bucket {
  std::string name;            ///< "layer 3", "layer 3 to layer 9"
  size_t first = 0, last = 0;  ///< units
  int64_t padded = 0;          ///< elements of the gathered buffer
  int64_t slice = 0;           ///< elements that each rank holds
  int64_t begin = 0;           ///< where this rank's slice lies in the flat shard
};

/// A part of one tensor inside this rank's flat shard.
struct ShardPiece {
  const TensorSpec* tensor = nullptr;
  int64_t tensor_offset = 0;  ///< elements into the row-major flattened tensor
  int64_t count = 0;
  int64_t shard_offset = 0;  ///< elements into the flat shard
};

class ShardLayout {
 public:
  /// No slice cuts one of the `blocks`.  Neighbouring layers share a bucket until it has `least_bucket` elements.
  ShardLayout(const ModelSpec& model, int rank, int ranks, const TensorBlocks& blocks = {}, int64_t least_bucket = 0);
  ShardLayout(const ShardLayout&) = delete;
  ShardLayout& operator=(const ShardLayout&) = delete;

  const std::vector<UnitShard>& units() const { return units_; }
  std::vector<UnitSpec> unit_specs() const;
  const std::vector<Bucket>& buckets() const { return buckets_; }
  std::vector<size_t> bucket_of_units() const;
  int64_t size() const { return size_; }                             ///< elements of the flat shard, padding included
  const std::vector<ShardPiece>& pieces() const { return pieces_; }  ///< in shard order; padding belongs to none

  /// Stretches of the flat shard that the optimizer treats alike, in order; together the whole shard.
  struct UpdateRange {
    int64_t begin = 0, end = 0;
    bool decay = false;
    double rate = 1;              ///< of the learning rate
    bool in_blocks = false;       ///< of tensors that are cut into blocks; it begins with one
    int64_t unblocked_begin = 0;  ///< not in blocks: elements of such ranges before this one
  };
  const std::vector<UpdateRange>& update_ranges() const { return update_ranges_; }
  const TensorBlocks& blocks() const { return blocks_; }
  int64_t unblocked_size() const { return unblocked_size_; }  ///< elements of ranges that are not in blocks

  /// Where an element lies among those of ranges that are not in blocks.
  int64_t unblocked_offset(int64_t shard_offset) const;

 private:
  void add_buckets(int ranks, int64_t least);
  void add_pieces(const Bucket& bucket, int rank);
  void add_update_ranges(const Bucket& bucket, int rank);
  std::span<const UnitShard> units_of(const Bucket& bucket) const {
    return std::span(units_).subspan(bucket.first, bucket.last - bucket.first + 1);
  }
  void extend_update_ranges(int64_t end, const TensorSpec* like, bool in_blocks);

  TensorBlocks blocks_;
  std::vector<UnitShard> units_;
  std::vector<Bucket> buckets_;
  std::vector<ShardPiece> pieces_;
  std::vector<UpdateRange> update_ranges_;
  int64_t size_ = 0, unblocked_size_ = 0;
};

}  // namespace tessera
