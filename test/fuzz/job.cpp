// A job file, and the resolved job that is made of it.
#include "job/job.h"

#include "support/fuzz.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  fuzz::reads("job.ini", [&] {
    const Job job = parse_job_text(text, "/somewhere/job.ini");
    const std::string resolved = resolved_text(job);
    // What is accepted can be written down and read again: a checkpoint holds it.
    if (resolved_text(parse_job_text(resolved, "/somewhere/job.ini")) != resolved) std::abort();
  });
  return 0;
}
