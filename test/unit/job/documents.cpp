// The reference in docs/job.md and the examples in jobs/ agree with the parser.
#include <sstream>

#include "base/files.h"
#include "job/fields.h"
#include "job_files.h"

using namespace tessera;

namespace {

const Path root = Path(TESSERA_TEST_DATA).parent_path().parent_path();
const Path page = root / "docs/job.md";
const std::string begin_mark = "<!-- The rest of this page is made from src/job: test_job '[.write-docs]' -->\n\n";

std::string before_the_reference() {
  const std::string text = read_text(page);
  const size_t mark = text.find(begin_mark);
  REQUIRE(mark != text.npos);
  return text.substr(0, mark + begin_mark.size());
}

/// The text between the page's first ```ini and the next ```.
std::string example_of_the_page() {
  const std::string text = read_text(page);
  const std::string fence = "```ini\n";
  const size_t begin = text.find(fence) + fence.size();
  return text.substr(begin, text.find("```", begin) - begin);
}

}  // namespace

TEST_CASE("docs/job.md holds the reference that the fields make", "[job]") {
  CHECK(read_text(page) == before_the_reference() + describe_keys_markdown());
}

TEST_CASE("the reference of docs/job.md is written", "[.write-docs]") {
  write_text_durably(page, before_the_reference() + describe_keys_markdown());
}

TEST_CASE("the example of docs/job.md is a job", "[job]") {
  const Job job = JobFile(example_of_the_page()).parse();
  CHECK(job.datasets.size() == 1);
}

TEST_CASE("jobs/example.ini shows every section", "[job]") {
  const std::string text = read_text(root / "jobs/example.ini");
  for (const Section& section : sections()) {
    CAPTURE(section.name);
    CHECK(text.find("\n[" + section.name + (section.repeated ? "." : "]")) != std::string::npos);
  }
}

TEST_CASE("every file of jobs/ is a job", "[job]") {
  for (const auto& entry : std::filesystem::directory_iterator(root / "jobs")) {
    if (entry.path().extension() != ".ini") continue;
    CAPTURE(entry.path());
    CHECK_NOTHROW(parse_job(entry.path(), {}));
  }
}

TEST_CASE("--help names every section and key", "[job]") {
  const std::string text = describe_keys();
  for (const Section& section : sections()) {
    CHECK(text.find(heading(section)) != std::string::npos);
    for (const Field& field : section.fields) CHECK(text.find("  " + field.key) != std::string::npos);
  }
}

TEST_CASE("--help fits a terminal of 110 columns", "[job]") {
  std::istringstream lines(describe_keys());
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    CHECK(line.size() <= 110);
  }
}
