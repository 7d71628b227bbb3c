# Programs to measure with, built by name only: single kernels by hand, and the load client of bench/peers.py.
add_executable(bench_kernels EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/kernels.c)
target_link_libraries(bench_kernels PRIVATE sm_math)

add_executable(http_load EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/http_load.c)
target_link_libraries(http_load PRIVATE sm_base)
