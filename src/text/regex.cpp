#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "base/error.h"
#include "base/excerpt.h"
#include "text/oniguruma.h"
#include "text/unicode.h"

namespace tessera {
namespace {

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* object) const { free(object); }
};
template <typename T, void (*free)(T*)>
using Owned = std::unique_ptr<T, Free<T, free>>;

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// A pattern comes with a model from anywhere.  One that is sound takes some steps for each byte of a text; one that
// tries ever more ways to match the same bytes is ended.
constexpr uint64_t first_steps = 200'000, steps_of_byte = 64;
constexpr uint32_t deepest = 10'000'000, largest_heap = 1 << 20;  // steps inside each other; KiB of the interpreter
constexpr size_t longest_pattern = 1 << 16;                       // bytes

constexpr size_t smallest_stack = 64 << 10, largest_stack = 64 << 20;  // bytes for compiled code; grows as needed

}  // namespace

struct RegexScratch::State {
  Owned<pcre2_match_data, pcre2_match_data_free> match{pcre2_match_data_create(64, nullptr)};
  Owned<pcre2_match_context, pcre2_match_context_free> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack, pcre2_jit_stack_free> stack{pcre2_jit_stack_create(smallest_stack, largest_stack, nullptr)};
};

RegexScratch::RegexScratch() : state_(std::make_unique<State>()) {
  if (!state_->match || !state_->context || !state_->stack) throw std::bad_alloc();
  pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
  pcre2_set_depth_limit(state_->context.get(), deepest);
  pcre2_set_heap_limit(state_->context.get(), largest_heap);
}
RegexScratch::~RegexScratch() = default;

struct Regex::State {
  Owned<pcre2_code, pcre2_code_free> code;
  bool compiled_to_machine_code = false;
  std::string pattern, where;
};

Regex::Regex(std::unique_ptr<State> state) : state_(std::move(state)) {}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Regex Regex::compile(std::string_view pattern, const std::string& where) {
  if (pattern.size() > longest_pattern)
    throw DataError("{}: the pattern {} has {} bytes; the limit is {}", where, excerpt(pattern), pattern.size(),
                    longest_pattern);
  auto state = std::make_unique<State>();
  state->pattern = excerpt(pattern, 300);
  state->where = where;
  const std::string translated = oniguruma_to_pcre2(pattern, where);
  int error = 0;
  size_t position = 0;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_MULTILINE;
  state->code.reset(pcre2_compile(units(translated), translated.size(), options, &error, &position, nullptr));
  if (!state->code) {
    throw DataError("{}: the pattern {} cannot be used: {} at byte {} of {}", where, state->pattern, message_of(error),
                    position, excerpt(translated, 300));
  }
  // Some systems forbid making machine code; the interpreter gives the same matches more slowly.
  state->compiled_to_machine_code = pcre2_jit_compile(state->code.get(), PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::move(state));
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  std::string pattern;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && !std::isalnum(byte)) pattern += '\\';
    pattern += c;
  }
  return compile(pattern, where);
}

bool Regex::search(std::string_view text, size_t from, RegexScratch& scratch, size_t& begin, size_t& end) const {
  auto& run = *scratch.state_;
  const uint64_t steps = first_steps + steps_of_byte * (text.size() - from);
  pcre2_set_match_limit(run.context.get(), static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
  const auto code = state_->code.get();
  int found = PCRE2_ERROR_JIT_STACKLIMIT;
  if (state_->compiled_to_machine_code) {
    found = pcre2_jit_match(code, units(text), text.size(), from, 0, run.match.get(), run.context.get());
  }
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
    found = pcre2_match(code, units(text), text.size(), from, PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK, run.match.get(),
                        run.context.get());
  }
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    throw DataError("{}: the pattern {} failed on a text of {} bytes: {}", state_->where, state_->pattern, text.size(),
                    message_of(found));
  }
  const size_t* range = pcre2_get_ovector_pointer(run.match.get());
  begin = range[0];
  end = range[1];
  return true;
}

void Regex::cut(std::string_view text, RegexScratch& scratch, std::vector<Match>& parts) const {
  size_t done = 0, from = 0, begin = 0, end = 0;
  bool any = false;
  while (from <= text.size() && search(text, from, scratch, begin, end)) {
    if (begin == end && any && begin == done) {  // an empty match right behind the last one does not count
      if (from == text.size()) break;
      from += unicode::bytes_of(text[from]);
      continue;
    }
    if (done != begin) parts.push_back({done, begin, false});
    parts.push_back({begin, end, true});
    done = from = end;
    any = true;
  }
  if (done != text.size()) parts.push_back({done, text.size(), false});
}

}  // namespace tessera
