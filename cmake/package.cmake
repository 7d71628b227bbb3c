# What `make install` puts beside the program, and the Debian package of `make package`.
include(GNUInstallDirs)

# The manual page and the completions, from the table of settings.
add_executable(manual tools/manual.c)
target_link_libraries(manual PRIVATE sm_config)
set(manual_folder ${CMAKE_BINARY_DIR}/manual.d)
file(MAKE_DIRECTORY ${manual_folder})
set(manual_files)
function(manual_form form file)
  add_custom_command(OUTPUT ${manual_folder}/${file}
    COMMAND manual ${form} > ${manual_folder}/${file}
    DEPENDS manual VERBATIM)
  set(manual_files ${manual_files} ${manual_folder}/${file} PARENT_SCOPE)
endfunction()
manual_form(man smallmind.1)
manual_form(bash smallmind.bash)
manual_form(zsh _smallmind)
manual_form(fish smallmind.fish)
find_program(SMALLMIND_GZIP NAMES gzip REQUIRED)
add_custom_command(OUTPUT ${manual_folder}/smallmind.1.gz
  COMMAND ${SMALLMIND_GZIP} -9nkf ${manual_folder}/smallmind.1
  DEPENDS ${manual_folder}/smallmind.1 VERBATIM)
add_custom_target(manuals DEPENDS ${manual_files} ${manual_folder}/smallmind.1.gz)
add_dependencies(smallmind manuals)

install(FILES ${manual_folder}/smallmind.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${manual_folder}/smallmind.bash RENAME smallmind
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${manual_folder}/_smallmind
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${manual_folder}/smallmind.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

set(SMALLMIND_MAINTAINER "The SmallMind authors <maintainers@smallmind.invalid>" CACHE STRING
  "Whom the Debian package names; distributors put their own name here")

# For the package alone: what belongs to a system and not to a prefix.
set(package_source ${CMAKE_SOURCE_DIR}/deploy/debian)
set(package_folder ${CMAKE_BINARY_DIR}/package)
# Of SOURCE_DATE_EPOCH, where that is given.
string(TIMESTAMP SMALLMIND_PACKAGE_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${package_source}/changelog.in ${package_folder}/changelog @ONLY)
configure_file(${package_source}/copyright.in ${package_folder}/copyright @ONLY)
add_custom_command(OUTPUT ${package_folder}/changelog.gz
  COMMAND ${SMALLMIND_GZIP} -9nkf ${package_folder}/changelog
  DEPENDS ${package_folder}/changelog VERBATIM)
add_custom_target(package_files ALL DEPENDS ${package_folder}/changelog.gz)
install(FILES config/smallmind.ini DESTINATION /etc/smallmind COMPONENT system EXCLUDE_FROM_ALL)
# Not /lib, which is a link to /usr/lib since Debian 12.
install(FILES deploy/systemd/smallmind.service deploy/systemd/smallmind.socket
  DESTINATION /usr/lib/systemd/system COMPONENT system EXCLUDE_FROM_ALL)
install(FILES ${package_folder}/changelog.gz ${package_folder}/copyright
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/smallmind COMPONENT system EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME smallmind)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "The SmallMind authors")
set(CPACK_PACKAGE_CONTACT "${SMALLMIND_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "inference of language models over HTTP, on CPUs")
set(CPACK_PACKAGE_DESCRIPTION "SmallMind serves decoder-only language models (GGUF files) on CPUs.
It batches requests continuously, keeps computed prefixes, and speaks its own
HTTP API and those of several other servers. A small model is built in.")
set(CPACK_COMPONENTS_ALL Unspecified system)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_FILE_NAME smallmind)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_NAME smallmind)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, ca-certificates, init-system-helpers (>= 1.52)")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${package_source}/postinst ${package_source}/prerm
  ${package_source}/postrm ${package_source}/conffiles)
include(CPack)
