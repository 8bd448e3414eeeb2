#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// What stands around an instruction.  {instruction}, {input} and {system} are replaced, {{ and }} are braces.
struct PromptStyle {
  std::string_view with_input, without_input;
  std::string_view system = "{system}";  ///< before the above, where there is an opening or a system text
};

/// How a record with an instruction and an answer becomes a text, as axolotl's prompt strategies write it.  What comes
/// from a record is a text in which {KEY} stands for its key of that name, and {KEY|OTHER} for the first that is there;
/// a list becomes lines of the form - "item".
struct InstructionFormat {
  const PromptStyle* style = nullptr;
  std::string_view opening_with_input = "", opening_without_input = "";  ///< in place of a system text; empty: none
  std::string_view instruction = "{instruction}";
  std::string_view input = "{input}";    ///< may be missing; empty: there is none
  std::string_view output = "{output}";  ///< the answer, which carries loss
  std::string_view system = "";          ///< may be missing; empty: the opening stands there
  int ends = 1;                          ///< EOS tokens behind the answer
  bool as_one = false;                   ///< prompt and answer are tokenised together
};

enum class DatasetKind : uint8_t { tokenized, completion, instruction, chat, input_output, user_defined };

/// What `type` of a data set may say.
struct DatasetType {
  std::string_view name;
  DatasetKind kind;
  InstructionFormat format = {};  ///< of kind instruction
};

/// In the order in which they are documented.
const std::vector<DatasetType>& dataset_types();

/// Throws std::logic_error where there is none of that name.
const DatasetType& dataset_type(std::string_view name);

std::vector<std::string> dataset_type_names();
std::vector<std::string> dataset_type_names(DatasetKind kind);

}  // namespace tessera
