#include "cluster/binding.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "cluster/launch.h"

namespace tessera::test {
namespace {

/// Two hardware threads a core: 0 and 4, 1 and 5, …
CpuSet siblings_of_eight(int cpu) { return {cpu % 4, cpu % 4 + 4}; }

/// What `work` says in a process of its own, whose environment and CPUs are nobody else's.
bool true_in_child(const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work() ? 0 : 1);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void forget_bindings() {
  for (const char* variable :
       {"OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_hwloc_base_cpu_list", "OMPI_MCA_rmaps_rank_file_path",
        "OMPI_MCA_rmaps_base_mapping_policy", "OMPI_MCA_orte_bound_at_launch"})
    unsetenv(variable);
}

}  // namespace

TEST_CASE("a list of CPUs is read and written as the kernel has it", "[cluster]") {
  CHECK(parse_cpu_list("0-3,8\n") == CpuSet{0, 1, 2, 3, 8});
  CHECK(parse_cpu_list("7") == CpuSet{7});
  CHECK(cpu_list_text({0, 1, 2, 3, 8, 10, 11}) == "0-3,8,10-11");
  CHECK(cpu_list_text({}).empty());
  for (const char* none : {"", "\n", "a", "1-", "-1", "1,b", "0-99999999"}) {
    INFO(none);
    CHECK(parse_cpu_list(none).empty());
  }
}

TEST_CASE("a binding to one core differs from one to a socket", "[cluster]") {
  CHECK(is_one_core({1}, siblings_of_eight));
  CHECK(is_one_core({1, 5}, siblings_of_eight));
  CHECK_FALSE(is_one_core({1, 2}, siblings_of_eight));
  CHECK_FALSE(is_one_core({0, 1, 2, 3, 4, 5, 6, 7}, siblings_of_eight));
  CHECK_FALSE(is_one_core({}, siblings_of_eight));
}

TEST_CASE("ranks that are bound to the same CPUs share their threads", "[cluster]") {
  CHECK(threads_of_share(64, 64, 1) == 64);
  CHECK(threads_of_share(64, 64, 4) == 16);  // none is bound
  CHECK(threads_of_share(32, 64, 2) == 32);  // a socket each
  CHECK(threads_of_share(32, 64, 3) == 16);  // two of them on one socket
  CHECK(threads_of_share(1, 64, 2) == 1);
  CHECK(threads_of_share(2, 2, 4) == 1);
}

TEST_CASE("a rank is bound to the CPUs near its GPU that it may use", "[cluster]") {
  const CpuSet allowed = allowed_cpus();
  const int one = *allowed.begin();
  CHECK(true_in_child([&] {
    forget_bindings();
    bind_near({one, 100'000});
    return allowed_cpus() == CpuSet{one};
  }));
  CHECK(true_in_child([&] {
    forget_bindings();
    bind_near({1000});
    return allowed_cpus() == allowed;
  }));
  CHECK(true_in_child([&] {
    forget_bindings();
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
    bind_near({one});
    return allowed_cpus() == allowed;
  }));
}

TEST_CASE("UCX does not query CUDA for memory types, unless the user sets otherwise", "[cluster]") {
  const auto is = [](const char* variable, const std::string& value) {
    const char* set = std::getenv(variable);
    return set != nullptr && set == value;
  };
  CHECK(true_in_child([&] {
    setenv("OMPI_MCA_pml", "ucx", 1);
    for (const char* variable : {"UCX_MEMTYPE_CACHE", "UCX_TLS"}) unsetenv(variable);
    prepare_environment("");
    return is("UCX_MEMTYPE_CACHE", "n") && is("UCX_TLS", "^cuda");
  }));
  CHECK(true_in_child([&] {
    setenv("OMPI_MCA_pml", "ucx", 1);
    setenv("UCX_TLS", "rc,self", 1);
    prepare_environment("");
    return is("UCX_MEMTYPE_CACHE", "n") && is("UCX_TLS", "rc,self");
  }));
  CHECK(true_in_child([&] {
    setenv("OMPI_MCA_pml", "ob1", 1);
    unsetenv("UCX_TLS");
    prepare_environment("");
    return std::getenv("UCX_TLS") == nullptr;
  }));
}

}  // namespace tessera::test
