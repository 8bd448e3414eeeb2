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

# kernels/cuda/*.cu and what starts them, for whoever links CUDA.  Arithmetic is IEEE's: no fast-math.
function(tessera_cuda_room)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
  add_library(tessera_cuda_kernels STATIC ${sources} ${CMAKE_SOURCE_DIR}/kernels/cuda/launch.cpp)
  target_link_libraries(tessera_cuda_kernels PUBLIC tessera_options tessera_base tessera_device CUDA::cudart_static)
  target_compile_options(tessera_cuda_kernels PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-psabi $<$<BOOL:${TESSERA_WERROR}>:-Werror=all-warnings>>)
endfunction()
