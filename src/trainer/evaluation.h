#pragma once
#include <cstdint>
#include <vector>

#include "data/prepared.h"
#include "session/session.h"
#include "trainer/training_plan.h"

namespace tessera {

struct EvaluationResult {
  double loss = 0;     ///< mean cross-entropy of the supervised tokens
  int64_t tokens = 0;  ///< that carry loss
};

/// The evaluation set, distributed over the ranks in file order.
class Evaluation {
 public:
  /// Collective. Throws DataError if there are samples but none has a supervised token.
  explicit Evaluation(Session& session);

  bool empty() const { return sequences_.empty(); }
  /// Collective; does not change the weights.
  EvaluationResult run();

 private:
  Session& session_;
  PreparedSet set_;
  std::vector<Sequence> sequences_;
  int64_t tokens_ = 0;  // that carry loss
};

}  // namespace tessera
