# The program itself: server/main.c with everything below it.
add_executable(smallmind server/main.c)
target_link_libraries(smallmind PRIVATE sm_server)
install(TARGETS smallmind RUNTIME)
