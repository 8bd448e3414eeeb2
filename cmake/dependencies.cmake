# Every library outside the project, as an imported target.  scripts/setup.sh installs them (Debian 12's names there).
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson REQUIRED)
find_package(PkgConfig REQUIRED)
add_library(nlohmann::json ALIAS nlohmann_json::nlohmann_json)

function(tessera_pkg target module)
  pkg_check_modules(${module} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  add_library(${target} ALIAS PkgConfig::${module})
endfunction()
tessera_pkg(pcre2::pcre2 libpcre2-8)
tessera_pkg(utf8proc::utf8proc libutf8proc)
tessera_pkg(xxhash::xxhash libxxhash)
tessera_pkg(zstd::zstd libzstd)

find_package(HDF5 REQUIRED COMPONENTS C)
add_library(hdf5_serial INTERFACE)
target_include_directories(hdf5_serial INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(hdf5_serial INTERFACE ${HDF5_C_LIBRARIES})
add_library(hdf5::serial ALIAS hdf5_serial)

if(TESSERA_FUZZ)
  return()  # no more is needed, and what follows is not made for clang++
endif()

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(CLI11 REQUIRED)
find_package(Catch2 REQUIRED)
tessera_pkg(hwy::hwy libhwy)

# Debian's dnnl-config.cmake asks for OpenCL headers that nothing here uses, so the library is found by itself.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(dnnl::dnnl UNKNOWN IMPORTED GLOBAL)
set_target_properties(dnnl::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
