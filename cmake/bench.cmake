# Programs to measure with: single kernels by hand, and the load client of bench/peers.py, which a
# test tries. Without tests they are built by name only.
add_executable(bench_kernels EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/kernels.c)
target_link_libraries(bench_kernels PRIVATE sm_profile sm_math)

add_executable(bench_attend EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/attend.c)
target_link_libraries(bench_attend PRIVATE sm_math)

add_executable(http_load ${CMAKE_SOURCE_DIR}/bench/http_load.c)
target_link_libraries(http_load PRIVATE sm_base)
if(NOT SMALLMIND_TESTS)
  set_target_properties(http_load PROPERTIES EXCLUDE_FROM_ALL ON)
endif()

add_executable(bench_grammars EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/grammars.c)
target_link_libraries(bench_grammars PRIVATE sm_api PkgConfig::CJSON)

add_executable(bench_guided EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/guided.c)
target_link_libraries(bench_guided PRIVATE sm_engine)
