#pragma once
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "job/job.h"

/// What the tests of the job room share: a job file in a folder of its own that goes when the test ends.
namespace tessera {

class JobFile {
 public:
  explicit JobFile(const std::string& text) {
    static int made = 0;
    const std::string name = "tessera-job-" + std::to_string(::getpid()) + "-" + std::to_string(made++);
    folder_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directories(folder_);
    write("mine.ini", text);
  }
  ~JobFile() { std::filesystem::remove_all(folder_); }
  JobFile(const JobFile&) = delete;
  JobFile& operator=(const JobFile&) = delete;

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  const Path& folder() const { return folder_; }
  Path path() const { return folder_ / "mine.ini"; }
  Job parse(const std::vector<std::string>& overrides = {}) const { return parse_job(path(), overrides); }

 private:
  Path folder_;
};

/// The least that a job must say, in four lines.
inline const std::string required = "[job]\noutput_dir = out\n[model]\nbase = model\n";

/// The job that `text` makes after the required keys.
inline Job job_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return JobFile(required + text).parse(overrides);
}

/// What parsing `text`, alone in mine.ini, complains about.  The folder of the file is left out of the message.
inline std::string error_of_file(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const JobFile file(text);
  try {
    file.parse(overrides);
  } catch (const JobError& error) {
    std::string message = error.what();
    const std::string folder = file.folder().string() + "/";
    for (size_t at; (at = message.find(folder)) != message.npos;) message.erase(at, folder.size());
    return message;
  }
  return "no error";
}

/// The same after the required keys: the first line of `text` is line 5.
inline std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return error_of_file(required + text, overrides);
}

}  // namespace tessera
