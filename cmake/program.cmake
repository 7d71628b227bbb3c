# The program itself: cli/main.c with everything below it.
add_executable(smallmind cli/main.c)
target_link_libraries(smallmind PRIVATE sm_cli)
install(TARGETS smallmind RUNTIME)
