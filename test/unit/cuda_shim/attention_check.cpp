#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "kernels/cuda/attention_verdicts.h"
#include "kitchen.h"
#include "support/temporary_folder.h"

// Before a job uses a library's attention, the library's answers are compared with our own kernels'
// (attention_trial.h). Here plain loops play what libraries have computed wrongly.
namespace tessera::test {
namespace {

const AttentionForm form = {2, 1, 64, 0};
constexpr int64_t longest = 130, tokens = 2048;

LargestShapes shapes_of(const AttentionForm& f, bool trains = true) {
  return {.T = tokens,
          .C = f.H * f.D,
          .H = f.H,
          .G = f.G,
          .D = f.D,
          .F = 8,
          .longest = longest,
          .shard = trains ? 1 : 0,
          .dtype = DType::bf16,
          .windows = {f.window}};
}

/// A job's batch after the check: what it computes by the library, or by own kernels where that is not asked, is right.
/// Which of the ways the library was asked for.
struct Used {
  bool forward, packed, padded;
};
Used use_after_check(Fault fault, const AttentionForm& f, PlainGraphs::Refusal refuses = nullptr) {
  Kitchen at(std::move(refuses), {}, fault);
  at.fused.announce(shapes_of(f));
  const Case c{f.H, f.G, f.D, f.window, {130, 64, 1}};
  Batch batch(at.rig, DType::bf16, c), right(at.rig, DType::bf16, c);
  right.run(*at.rig.kernels, *at.rig.stream);
  at.asked_for.clear();
  const bool forward = at.fused.forward(*at.rig.stream, batch.shape, batch.q(batch.qkv), batch.k(batch.qkv),
                                        batch.v(batch.qkv), batch.out, batch.log_sum_exp.data());
  const bool backward = at.fused.backward(*at.rig.stream, batch.shape, batch.q(batch.qkv), batch.k(batch.qkv),
                                          batch.v(batch.qkv), right.out, right.log_sum_exp.data(), batch.dout,
                                          batch.q(batch.dqkv), batch.k(batch.dqkv), batch.v(batch.dqkv));
  at.rig.stream->synchronize();
  if (forward) CHECK(distance(batch.out.values(), right.out.values()) < 4 * tolerance(DType::bf16));
  if (backward) CHECK(distance(batch.dqkv.values(), right.dqkv.values()) < 4 * tolerance(DType::bf16));
  const bool padded = asked_for(at, [](const AttentionDescription& d) { return d.padded; });
  return {forward, backward && !padded, backward && padded};
}

}  // namespace

TEST_CASE("a library that computes rightly is used", "[attention][check]") {
  const Used used = use_after_check(Fault::none, form);
  CHECK((used.forward && used.packed));
  const Used before_hopper = use_after_check(Fault::none, form, without_packed_backward);
  CHECK((before_hopper.forward && before_hopper.padded));
}

TEST_CASE("results that a library gets wrong are found, and the library is not used for them",
          "[attention][check][long]") {
  struct Expected {
    Fault fault;
    AttentionForm form;
    bool forward, packed, padded;
  };
  const AttentionForm windowed = {2, 1, 64, 50};
  const std::vector<Expected> all = {{Fault::nan_of_packed_gradients, form, true, false, true},
                                     {Fault::nan_dq_of_deep_scores, form, true, false, false},
                                     {Fault::nan_of_one_query, form, true, false, false},
                                     {Fault::few_key_heads, form, true, false, false},
                                     {Fault::dense_statistics, form, true, false, true},
                                     {Fault::reads_workspace, form, false, false, false},
                                     {Fault::nan_of_empty_places, form, false, false, false},
                                     {Fault::no_window, windowed, false, false, false},
                                     {Fault::wrong_output, form, false, true, false}};
  for (const Expected& expected : all) {
    INFO("fault " << static_cast<int>(expected.fault));
    const Used used = use_after_check(expected.fault, expected.form);
    CHECK(used.forward == expected.forward);
    CHECK(used.packed == expected.packed);
    CHECK(used.padded == expected.padded);
  }
}

TEST_CASE("rows behind the end may be read where they are zero, and a NaN there is found", "[attention][check]") {
  Kitchen at(nullptr, {}, Fault::reads_behind);
  CHECK(at.fused.differences(form, short_attention_batches(form, longest, 260)).empty());
  const auto found = at.fused.differences(form, all_attention_batches(form, longest, 260));
  REQUIRE_FALSE(found.empty());
  for (const std::string& text : found) CHECK_THAT(text, Catch::Contains("NaN behind"));
  Kitchen right;
  CHECK(right.fused.differences(form, all_attention_batches(form, longest, 260)).empty());
}

TEST_CASE("the verdict is kept on the host, and a job that finds one compares nothing", "[attention][check]") {
  const TemporaryFolder folder;
  const auto checked = [&](Fault fault, std::filesystem::path verdicts) {
    Kitchen at(nullptr, {.verdicts = std::move(verdicts)}, fault);
    at.fused.announce(shapes_of(form));
    const Case c{form.H, form.G, form.D, 0, {130, 64, 1}};
    Batch batch(at.rig, DType::bf16, c);
    const bool computed = batch.run(at.fused, *at.rig.stream);
    at.rig.stream->synchronize();  // before the batch goes
    return computed;
  };
  CHECK_FALSE(checked(Fault::few_key_heads, folder.path()));
  CHECK_FALSE(checked(Fault::none, folder.path()));  // it is not compared again
  CHECK(checked(Fault::none, {}));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) std::filesystem::resize_file(entry, 3);
  CHECK(checked(Fault::none, folder.path()));  // a damaged verdict is none
  CHECK(checked(Fault::few_key_heads, folder.path()));
  CHECK(checked(Fault::none, "/dev/null/no-folder"));
}

TEST_CASE("verdicts lie where the user's caches do", "[attention][check]") {
  setenv("XDG_CACHE_HOME", "/caches", 1);
  CHECK(verdict_folder() == "/caches/tessera");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/folder", 1);
  CHECK(verdict_folder() == "/folder/.cache/tessera");
}

TEST_CASE("the check takes no memory that stays", "[attention][check]") {
  Kitchen at(nullptr, {});
  const int64_t before = at.device->bytes_in_use();
  at.fused.announce(shapes_of(form));
  CHECK(at.device->bytes_in_use() == before);
}

}  // namespace tessera::test
