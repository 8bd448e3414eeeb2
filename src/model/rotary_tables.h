#pragma once
#include <vector>

#include "device/buffer.h"
#include "model/parts/pass.h"

namespace tessera {

/// cos and sin of a batch's positions, for each of a model's tables.
class RotaryTables {
 public:
  RotaryTables(Device& device, const ModelSpec& model, int64_t max_T);

  /// Enqueues the tables of a batch's positions; they are overwritten by the next batch's.  A document's length says
  /// which of longrope's frequencies it gets; `first_position` tokens stand before the batch's only one.
  std::vector<RotaryTable> fill(Kernels& kernels, Stream& stream, const int32_t* positions, const Documents& documents,
                                int64_t first_position = 0) const;
  /// Has a text of `longer` tokens other frequencies than one of `length`?
  bool change_between(int64_t length, int64_t longer) const;

 private:
  struct Table {
    RotaryFrequencies frequencies, of_long_documents;
    int64_t longest_short = 0;  ///< tokens; 0: all documents are alike
    int64_t width = 0;
    Buffer cos, sin;

    bool is_long(int64_t tokens) const { return longest_short > 0 && tokens > longest_short; }
    void fill(Kernels& kernels, Stream& stream, const int32_t* positions, int64_t begin, int64_t end,
              bool long_documents) const;
  };
  std::vector<Table> tables_;
};

}  // namespace tessera
