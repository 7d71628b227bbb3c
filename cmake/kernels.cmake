# The kernels' files are compiled for their own instruction set; the reference twice from one
# source, with and without the FMA instruction (fmaf then is one instruction or a library call: the
# same bits). -fno-tree-vectorize keeps the reference plain: it is the definition, not a competitor.
#
# Under the sanitizers the checks of every pointer take minutes a file to compile in unrolled loops
# of vector loads, and half of the reference's time. The address sanitizer sees the same accesses.
set(KERNELS_OPTIMIZED -O2)
set(KERNELS_CHECKS "")
if(SMALLMIND_FUZZ) # its targets read files and requests: they run no kernel of these
  set(KERNELS_OPTIMIZED -O1)
  set(KERNELS_CHECKS -fno-sanitize=undefined)
elseif(SMALLMIND_SANITIZE MATCHES "undefined")
  set(KERNELS_OPTIMIZED -O1)
  set(KERNELS_CHECKS -fno-sanitize=null,alignment,object-size,pointer-overflow)
endif()
list(APPEND KERNELS_OPTIMIZED ${KERNELS_CHECKS})

set(KERNELS_REF
  ${CMAKE_SOURCE_DIR}/core/math/kernels_ref.c ${CMAKE_SOURCE_DIR}/core/math/kernels_ref_fma.c)
set(KERNELS_PLAIN -O2 -fno-tree-vectorize ${KERNELS_CHECKS})
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  list(APPEND KERNELS_PLAIN -fno-slp-vectorize)
endif()
set_source_files_properties(${KERNELS_REF} PROPERTIES COMPILE_OPTIONS "${KERNELS_PLAIN}")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/core/math/kernels_ref_fma.c PROPERTIES
    COMPILE_OPTIONS "${KERNELS_PLAIN};-mfma")
  file(GLOB KERNELS_AVX2 CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/core/math/x86/avx2*.c)
  set_source_files_properties(${KERNELS_AVX2} PROPERTIES
    COMPILE_OPTIONS "${KERNELS_OPTIMIZED};-mavx2;-mfma;-mf16c")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/core/math/x86/avxvnni.c PROPERTIES
    COMPILE_OPTIONS "${KERNELS_OPTIMIZED};-mavx2;-mfma;-mf16c;-mavxvnni")
  file(GLOB KERNELS_AVX512 CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/core/math/x86/avx512*.c)
  set(AVX512 ${KERNELS_OPTIMIZED} -mavx2 -mfma -mf16c
    -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni)
  set_source_files_properties(${KERNELS_AVX512} PROPERTIES COMPILE_OPTIONS "${AVX512}")
  file(GLOB KERNELS_AMX CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/core/math/x86/amx*.c)
  set_source_files_properties(${KERNELS_AMX} PROPERTIES
    COMPILE_OPTIONS "${AVX512};-mamx-tile;-mamx-int8")
endif()
