#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/view.h"
#include "model/spec.h"

/// The tensors of a model and where they lie.
namespace tessera {

/// One weight: its Hugging Face name and shape, and where it lies in its unit's flat buffer.
struct TensorSpec {
  std::string name;            ///< model.layers.3.self_attn.q_proj.weight
  std::vector<int64_t> shape;  ///< [O, I], or [n] for norms and biases
  int64_t offset = 0;          ///< elements from the unit's beginning
  bool decay = true;           ///< weight decay applies: not for norm weights and biases
  enum class Init { normal, ones, zeros } init = Init::normal;  ///< with model.init = random

  int64_t size() const;
};

/// Elements of a flattened tensor that share something, such as the scale of a state in 8 bits; the first block begins
/// with the tensor.
struct TensorBlocks {
  int64_t elements = 1;  ///< of a block
  int64_t least = 0;     ///< a tensor with fewer elements is not cut into blocks

  bool cut(const TensorSpec& tensor) const { return elements > 1 && tensor.size() >= least; }
};

/// What is gathered at once: the embedding, each decoder layer, the final norm with the head.
struct UnitSpec {
  std::string name;  ///< embedding, layer 0, …, head
  std::vector<TensorSpec> tensors;
  int64_t size = 0;  ///< elements, without padding at the end
  /// An earlier unit whose tensors are used with this one's, and get a gradient there: a tied head's embedding.
  std::optional<size_t> borrows;

  /// Throws std::logic_error where there is none.
  const TensorSpec& at(std::string_view tensor) const;
};

/// A unit's flat buffer: the weights, in the compute type, or their gradients, in fp32.
struct FlatUnit {
  void* data = nullptr;
  DType dtype = DType::f32;
};

/// Where a matrix lies in a unit: one tensor, or several that lie side by side.
class MatrixPlace {
 public:
  MatrixPlace() = default;
  /// [Σ rows, columns].  Throws std::logic_error where the tensors are not neighbours or of another shape.
  MatrixPlace(const UnitSpec& unit, const std::vector<std::string>& tensors, int64_t columns);

  View in(const FlatUnit& unit) const {
    return {static_cast<char*>(unit.data) + offset_ * size_of(unit.dtype), unit.dtype, rows_, columns_};
  }
  /// The same numbers as a vector, [1, n]: of norms and biases.
  View in_a_row(const FlatUnit& unit) const {
    if (rows_ == 0) return {};
    View view = in(unit);
    return {view.data, view.dtype, 1, view.size()};
  }
  int64_t rows() const { return rows_; }
  explicit operator bool() const { return rows_ > 0; }

 private:
  int64_t offset_ = 0, rows_ = 0, columns_ = 0;
};

/// Units in the order of the forward pass.  In each the matrices come first, then norms, then biases; modules of one
/// product lie side by side, unless the size of one is no multiple of the blocks: tensors that are cut into blocks
/// begin at a multiple of a block's elements.  A tied head has only the norm.
std::vector<UnitSpec> model_units(const ModelSpec& model, const TensorBlocks& blocks = {});

/// Weights of the model; without the embedding table but with the head (what a token is multiplied with).
int64_t parameter_count(const ModelSpec& model);
int64_t multiplied_parameter_count(const ModelSpec& model);

}  // namespace tessera
