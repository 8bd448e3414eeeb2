#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/view.h"
#include "model/spec.h"

/// The tensors of a model and where they lie.
namespace tessera {

/// A unit's tensors lie in two flat buffers: those that are trained, and those that are only read.
enum class Band : uint8_t { trained, frozen };

/// One weight: its Hugging Face name and shape, and where it lies in its unit's flat buffers.
struct TensorSpec {
  std::string name;            ///< model.layers.3.self_attn.q_proj.weight
  std::vector<int64_t> shape;  ///< [O, I], or [n] for norms and biases
  bool decay = true;           ///< weight decay applies: not for norm weights and biases
  /// How it begins where no file has it.
  /// row_norms: of the weight beside it; of a quantised one those that it has when it is dequantised.
  enum class Init { normal, ones, zeros, lora_a, lora_a_gaussian, row_norms, quantized_row_norms } init = Init::normal;
  Storage storage = Storage::trained;
  bool is_adapter = false;  ///< no file of the base has it
  double rate = 1;          ///< of the learning rate
  int64_t offset = 0;       ///< elements from the beginning of its band

  Band band() const { return storage == Storage::trained ? Band::trained : Band::frozen; }

  int64_t size() const;
};

/// Elements of a flattened tensor that share something, such as the scale of a state in 8 bits; the first block begins
/// with the tensor.
struct TensorBlocks {
  int64_t elements = 1;  ///< of a block
  int64_t least = 0;     ///< a tensor with fewer elements is not cut into blocks

  bool cut(const TensorSpec& tensor) const {
    return elements > 1 && tensor.band() == Band::trained && tensor.size() >= least;
  }
};

/// What is gathered at once: the embedding, each decoder layer, the final norm with the head.
struct UnitSpec {
  std::string name;  ///< embedding, layer 0, …, head
  std::vector<TensorSpec> tensors;
  std::array<int64_t, 2> sizes = {};  ///< elements of the bands, without padding at the end
  /// An earlier unit whose tensors are used with this one's, and get a gradient there: a tied head's embedding.
  std::optional<size_t> borrows;

  int64_t size(Band band) const { return sizes[static_cast<size_t>(band)]; }
  /// Throws std::logic_error where there is none.
  const TensorSpec& at(std::string_view tensor) const;
};

/// A unit's flat buffers: the weights, in the compute type, or the gradients of those that are trained, in fp32.
struct FlatUnit {
  void* trained = nullptr;
  DType dtype = DType::f32;
  void* frozen = nullptr;

  void* at(Band band) const { return band == Band::trained ? trained : frozen; }
};

/// Where a matrix lies in a unit: one tensor, or several that lie side by side.
class MatrixPlace {
 public:
  MatrixPlace() = default;
  /// [Σ rows, columns].  Throws std::logic_error where the tensors are not neighbours or of another shape.
  MatrixPlace(const UnitSpec& unit, const std::vector<std::string>& tensors, int64_t columns);

  /// Empty where the unit has not the matrix's band: a frozen one has no gradient.
  View in(const FlatUnit& unit) const {
    void* const band = unit.at(band_);
    if (band == nullptr) return {};
    return {static_cast<char*>(band) + offset_ * size_of(unit.dtype), unit.dtype, rows_, columns_};
  }
  /// The same numbers as a vector, [1, n]: of norms and biases.
  View in_a_row(const FlatUnit& unit) const {
    if (rows_ == 0) return {};
    const View view = in(unit);
    return view ? View(view.data, view.dtype, 1, view.size()) : view;
  }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  explicit operator bool() const { return rows_ > 0; }

 private:
  Band band_ = Band::trained;
  int64_t offset_ = 0, rows_ = 0, columns_ = 0;
};

/// Units in the order of the forward pass.  In each the matrices come first, then norms, then biases; modules of one
/// product (and their adapters' A) lie side by side, unless the size of one is no multiple of the blocks: tensors that
/// are cut into blocks begin at a multiple of a block's elements.  A tied head has only the norm.
std::vector<UnitSpec> model_units(const ModelSpec& model, const TensorBlocks& blocks = {});

/// Weights of the model; without the embedding table but with the head (what a token is multiplied with).
/// Of one band, or of both.
int64_t parameter_count(const ModelSpec& model, std::optional<Band> band = {});
int64_t multiplied_parameter_count(const ModelSpec& model, std::optional<Band> band = {});
/// "134515008 weights, of which 4884480 are trained", for messages.
std::string weights_text(const ModelSpec& model);

}  // namespace tessera
