#pragma once
#include <cstdint>
#include <vector>

#include "data/prepared.h"
#include "trainer/plan.h"
#include "trainer/session.h"

namespace tessera {

struct EvaluationResult {
  double loss = 0;     ///< mean cross-entropy of the supervised tokens
  int64_t tokens = 0;  ///< that carry loss
};

/// The evaluation set, dealt out over the ranks in file order.
class Evaluation {
 public:
  /// On all ranks together.  Throws DataError where there are samples, and no token of theirs carries loss.
  explicit Evaluation(Session& session);

  bool empty() const { return sequences_.empty(); }
  /// On all ranks together; the weights stay as they are.
  EvaluationResult run();

 private:
  Session& session_;
  PreparedSet set_;
  std::vector<Sequence> sequences_;
  int64_t tokens_ = 0;  // that carry loss
};

}  // namespace tessera
