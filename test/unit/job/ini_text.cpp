// The text of a job file: comments, quotes, variables, encodings, and what is no line of one.
#include <cstdlib>

#include "job/ini.h"
#include "job_files.h"

using namespace tessera;

namespace {

std::string value_of(const std::string& line) {
  return ini::expand_environment(ini::parse("[s]\nk = " + line, "f").at(0).entries.at(0).text, "f");
}

}  // namespace

TEST_CASE("a comment follows ; or # at the start of a line or after a blank", "[job]") {
  CHECK(ini::parse("; one\n  # two\n\n[s] ; three\n", "f").at(0).entries.empty());
  CHECK(value_of("bf16  # as fast as it gets") == "bf16");
  CHECK(value_of("bf16 ; as fast as it gets") == "bf16");
}

TEST_CASE("; and # inside a word belong to the value", "[job]") {
  CHECK(value_of("/data/run#3;b.jsonl") == "/data/run#3;b.jsonl");
}

TEST_CASE("a value in double quotes keeps blanks and comment characters", "[job]") {
  CHECK(value_of("\"  a # b ; c \"  # comment") == "  a # b ; c ");
}

TEST_CASE("a value in double quotes supports escapes", "[job]") {
  CHECK(value_of(R"("line\nnext\ttab \"said\" back\\slash")") == "line\nnext\ttab \"said\" back\\slash");
}

TEST_CASE("an = after the first belongs to the value", "[job]") { CHECK(value_of("a=b = c") == "a=b = c"); }

TEST_CASE("a line may have any length", "[job]") {
  const std::string path(5000, 'x');
  CHECK(value_of(path) == path);
}

TEST_CASE("an entry knows its line", "[job]") { CHECK(ini::parse("\n[s]\n; c\n\nk = 1", "f")[0].entries[0].line == 5); }

TEST_CASE("a byte order mark and CRLF line ends are no part of a job file", "[job]") {
  const auto sections = ini::parse("\xEF\xBB\xBF[s]\r\nk = v\r\n", "f");
  CHECK(sections.at(0).name == "s");
  CHECK(sections.at(0).entries.at(0).text == "v");
}

TEST_CASE("environment variables are expanded, also inside quotes", "[job]") {
  ::setenv("TESSERA_TEST_PLACE", "/somewhere", 1);
  CHECK(value_of("${TESSERA_TEST_PLACE}/a") == "/somewhere/a");
  CHECK(value_of("\"${TESSERA_TEST_PLACE} # a\"") == "/somewhere # a");
}

TEST_CASE("$${ is a plain ${ and a lone $ is itself", "[job]") {
  CHECK(value_of("$${HOME} for $5") == "${HOME} for $5");
}

TEST_CASE("what quoted() writes is read back unchanged", "[job]") {
  for (const std::string value : {"plain", "", " blanks ", "a # b", "a;b", "#a", "\"said\"", "two\nlines",
                                  "back\\slash", "${HOME}", "$${HOME}", "tab\tinside", "end\r", "a \\ ; \"b\""}) {
    CAPTURE(value);
    CHECK(value_of(ini::quoted(value)) == value);
  }
}

TEST_CASE("a plain value is written without quotes", "[job]") { CHECK(ini::quoted("/a b/c#d") == "/a b/c#d"); }

TEST_CASE("a variable that is not set is an error that names it and the line", "[job]") {
  ::unsetenv("TESSERA_TEST_UNSET");
  CHECK(error_of_file("[job]\noutput_dir = ${TESSERA_TEST_UNSET}/out") ==
        "mine.ini:2: [job] output_dir: the environment variable TESSERA_TEST_UNSET is not set");
}

TEST_CASE("a variable without its closing brace is an error", "[job]") {
  CHECK(error_of_file("[job]\noutput_dir = ${HOME") ==
        "mine.ini:2: [job] output_dir: unterminated ${; write a literal ${ as $${");
}

TEST_CASE("a line that is neither section, key nor comment is an error", "[job]") {
  CHECK(error_of_file("[job]\noutput_dir: out") ==
        "mine.ini:2: output_dir: out: expected [section], key = value, or a comment after ; or #");
}

TEST_CASE("a section without its ] is an error", "[job]") {
  CHECK(error_of_file("[job\n") == "mine.ini:1: [job: the closing ] is missing");
}

TEST_CASE("text after a section's ] is an error", "[job]") {
  CHECK(error_of_file("[job] seed = 1\n") ==
        "mine.ini:1: [job] seed = 1: text after the section's ]; keys go on lines of their own");
}

TEST_CASE("a key before the first section is an error", "[job]") {
  CHECK(error_of_file("seed = 1\n") == "mine.ini:1: seed: a key before the first [section]");
}

TEST_CASE("a value without a key is an error", "[job]") {
  CHECK(error_of_file("[job]\n= 1\n") == "mine.ini:2: [job] missing key before =");
}

TEST_CASE("a key that appears twice is an error that names both lines", "[job]") {
  CHECK(error_of_file("[job]\nseed = 1\n\nseed = 2\n") ==
        "mine.ini:4: [job] seed: already set in line 2; remove one of the two");
}

TEST_CASE("a section that appears twice is an error that names both lines", "[job]") {
  CHECK(error_of_file("[job]\n[train]\n[job]\n") ==
        "mine.ini:3: duplicate section [job], first in line 1; merge the two");
}

TEST_CASE("a quoted value that does not end is an error", "[job]") {
  CHECK(error_of_file("[job]\noutput_dir = \"out\n") ==
        "mine.ini:2: [job] output_dir: the value's closing double quote is missing");
}

TEST_CASE("text after a quoted value is an error", "[job]") {
  CHECK(error_of_file("[job]\noutput_dir = \"out\" side\n") ==
        "mine.ini:2: [job] output_dir: text after the closing double quote; a quote inside a quoted value is written "
        "\\\"");
}

TEST_CASE("an unknown escape is an error", "[job]") {
  CHECK(error_of_file("[job]\noutput_dir = \"o\\ut\"\n") ==
        "mine.ini:2: [job] output_dir: \\u is not an escape; a quoted value supports \\n, \\t, \\\" and \\\\");
}

TEST_CASE("text that is not UTF-8 is an error", "[job]") {
  for (const std::string bytes : {"\xFF\xFE", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC3"}) {
    CHECK(error_of_file("[job]\noutput_dir = " + bytes) == "mine.ini:2: not UTF-8; save the job file as UTF-8");
  }
}

TEST_CASE("well-formed UTF-8 is kept as it is", "[job]") { CHECK(value_of("日本/é/🦙") == "日本/é/🦙"); }

TEST_CASE("a zero byte is an error", "[job]") {
  CHECK(error_of_file(std::string("[job]\na\0b = 1", 13)) ==
        "mine.ini:2: contains a zero byte; a job file is UTF-8 text");
}

TEST_CASE("a missing job file is an error that names it", "[job]") {
  const JobFile file("");
  REQUIRE_THROWS_AS(parse_job(file.folder() / "none.ini", {}), JobError);
  REQUIRE_THROWS_WITH(
      parse_job(file.folder() / "none.ini", {}),
      (file.folder() / "none.ini").string() + ": cannot be opened for reading: No such file or directory");
}
