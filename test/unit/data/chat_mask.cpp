#include "data/chat_mask.h"

#include <catch2/catch.hpp>

using namespace tessera;

namespace {

using Kind = ChatPiece::Kind;

/// user: "Hi" + end, assistant: "Yes" + end, twice.
const std::vector<ChatPiece> two_turns = {
    {Kind::scaffold, 0, "U:"}, {Kind::content, 0, "Hi"},  {Kind::end_of_turn, 0, "|"}, {Kind::scaffold, 0, "\n"},
    {Kind::scaffold, 1, "A:"}, {Kind::content, 1, "Yes"}, {Kind::end_of_turn, 1, "|"}, {Kind::scaffold, 1, "\n"},
    {Kind::scaffold, 2, "U:"}, {Kind::content, 2, "So"},  {Kind::end_of_turn, 2, "|"}, {Kind::scaffold, 2, "\n"},
    {Kind::scaffold, 3, "A:"}, {Kind::content, 3, "No"},  {Kind::end_of_turn, 3, "|"}, {Kind::scaffold, -1, "\n"}};
const std::vector<bool> assistant = {false, true, false, true};

/// The rendered text with the ranges in [brackets].
std::string marked(TrainOnEos train_on_eos, const std::vector<bool>& trained = assistant) {
  std::string text;
  for (const ChatPiece& piece : two_turns) text += piece.text;
  const std::vector<ByteRange> ranges = trained_ranges(two_turns, trained, train_on_eos);
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    text.insert(static_cast<size_t>(range->end), "]");
    text.insert(static_cast<size_t>(range->begin), "[");
  }
  return text;
}

std::vector<int32_t> labels(std::vector<std::pair<int64_t, int64_t>> offsets, const std::vector<ByteRange>& ranges) {
  Encoding encoding;
  for (size_t i = 0; i < offsets.size(); ++i) encoding.ids.push_back(static_cast<int32_t>(i + 1));
  encoding.offsets = std::move(offsets);
  return labels_of(encoding, ranges);
}

}  // namespace

TEST_CASE("train_on_eos = turn takes the ends of the trained turns", "[mask]") {
  REQUIRE(marked(TrainOnEos::turn) == "U:Hi|\nA:[Yes][|]\nU:So|\nA:[No][|]\n");
}

TEST_CASE("train_on_eos = last takes the end of the last trained turn", "[mask]") {
  REQUIRE(marked(TrainOnEos::last) == "U:Hi|\nA:[Yes]|\nU:So|\nA:[No][|]\n");
  REQUIRE(marked(TrainOnEos::last, {true, false, false, false}) == "U:[Hi][|]\nA:Yes|\nU:So|\nA:No|\n");
}

TEST_CASE("train_on_eos = none takes no end", "[mask]") {
  REQUIRE(marked(TrainOnEos::none) == "U:Hi|\nA:[Yes]|\nU:So|\nA:[No]|\n");
}

TEST_CASE("train_on_eos = all takes every end", "[mask]") {
  REQUIRE(marked(TrainOnEos::all) == "U:Hi[|]\nA:[Yes][|]\nU:So[|]\nA:[No][|]\n");
}

TEST_CASE("Tokens inside a range carry loss, those outside do not", "[mask]") {
  REQUIRE(labels({{0, 2}, {2, 4}, {4, 6}, {6, 7}}, {{2, 6}}) == std::vector<int32_t>{-100, 2, 3, -100});
}

TEST_CASE("A token that straddles the boundary of a range carries loss", "[mask]") {
  REQUIRE(labels({{0, 1}, {1, 3}, {3, 5}, {5, 6}}, {{2, 4}}) == std::vector<int32_t>{-100, 2, 3, -100});
}

TEST_CASE("Tokens that share the bytes of one character are decided alike", "[mask]") {
  REQUIRE(labels({{0, 3}, {0, 3}, {3, 6}, {3, 6}}, {{3, 6}}) == std::vector<int32_t>{-100, -100, 3, 4});
}

TEST_CASE("A token that covers no byte belongs to the byte at its position", "[mask]") {
  REQUIRE(labels({{0, 0}, {2, 2}, {4, 4}}, {{2, 4}}) == std::vector<int32_t>{-100, 2, -100});
}
