# The CUDA part: kernels/cuda, compiled by nvcc.  Without nvcc everything else is built, and the same kernels for the CPU
# in test/cuda_shim.
set(TESSERA_CUDA AUTO CACHE STRING "the CUDA kernels: ON, OFF, or AUTO for where there is nvcc")
set_property(CACHE TESSERA_CUDA PROPERTY STRINGS AUTO ON OFF)

set(TESSERA_CUDA_FOUND OFF)
if(TESSERA_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(TESSERA_CUDA_FOUND ON)
  elseif(NOT TESSERA_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "TESSERA_CUDA is ON, but there is no nvcc; put it on PATH or name it in CUDACXX.")
  endif()
endif()

# Headers only, from the PyPI wheel (scripts/setup.sh --cudnn-frontend).
find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${CMAKE_SOURCE_DIR}/build/cudnn-frontend/include)
if(TESSERA_CUDA_FOUND AND NOT CUDNN_FRONTEND_INCLUDE_DIR)
  message(STATUS "The GPU part is left out: cudnn-frontend is missing (scripts/setup.sh --cudnn-frontend)")
  set(TESSERA_CUDA_FOUND OFF)
endif()

if(TESSERA_CUDA_FOUND)
  set(CUDA_ARCHS "80;89;90;100" CACHE STRING "GPUs to compile for, as CMAKE_CUDA_ARCHITECTURES: A100, L40/4090, H100, B200")
  set(CMAKE_CUDA_ARCHITECTURES ${CUDA_ARCHS})
  if(CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")  # which Debian 12's CMake does not know
  set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O2 -lineinfo")
  find_package(CUDAToolkit REQUIRED)
endif()

# The GPU part of the program: libtessera_cuda.so beside `train`, which opens it where a job may use GPUs
# (src/device/gpu_library.h).  What it needs of the rooms it finds in the program.  Arithmetic is IEEE's: no fast-math.
function(tessera_cuda_library)
  find_library(CUDNN_LIBRARY cudnn REQUIRED HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_library(NCCL_LIBRARY nccl REQUIRED HINTS ${CUDAToolkit_LIBRARY_DIR})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cpp
       ${CMAKE_SOURCE_DIR}/src/device/cuda/*.cpp ${CMAKE_SOURCE_DIR}/src/cluster/nccl/*.cpp)
  # cudnn-frontend's headers take half a minute: compiled once for the library and for test/cudnn.
  list(FILTER sources EXCLUDE REGEX "/attention_cudnn[.]cpp$")
  add_library(tessera_attention_cudnn OBJECT ${CMAKE_SOURCE_DIR}/kernels/cuda/attention_cudnn.cpp)
  target_link_libraries(tessera_attention_cudnn PRIVATE tessera_options fmt::fmt)
  target_include_directories(tessera_attention_cudnn SYSTEM PRIVATE ${CUDNN_FRONTEND_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
  set_target_properties(tessera_attention_cudnn PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_library(tessera_cuda MODULE ${sources} $<TARGET_OBJECTS:tessera_attention_cudnn>)
  target_link_libraries(tessera_cuda PRIVATE tessera_options fmt::fmt CUDA::cudart_static CUDA::cublasLt CUDA::nvrtc CUDA::cuda_driver
                        ${CUDNN_LIBRARY} ${NCCL_LIBRARY})
  target_compile_options(tessera_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-psabi $<$<BOOL:${TESSERA_WERROR}>:-Werror=all-warnings>>)
  set_target_properties(tessera_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} BUILD_RPATH /usr/local/cuda/lib64)
  add_dependencies(tessera_cuda train)
  add_dependencies(gpu_part tessera_cuda)
endfunction()

add_custom_target(gpu_part)  # that library, and nothing where it cannot be built

# For a program other than `train` that opens libtessera_cuda.so: it lies beside that and brings what that uses of the
# rooms, so whole those of which the program itself may use nothing: the collectives, and files.
function(tessera_serves_cuda_library program)
  target_sources(${program} PRIVATE $<TARGET_OBJECTS:tessera_base> $<TARGET_OBJECTS:tessera_cluster>)
  target_link_libraries(${program} PRIVATE tessera_cluster)
  set_target_properties(${program} PROPERTIES ENABLE_EXPORTS ON RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  add_dependencies(${program} tessera_cuda)
endfunction()
