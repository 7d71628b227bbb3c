# Files that the program carries inside itself, as symbols of an assembler file: embed_NAME (64-byte
# aligned, a zero byte after its end) and embed_NAME_size (8 bytes). embed/embed.h declares them.
set(SMALLMIND_EMBEDDED
  model=models/smallmind-tiny.gguf openapi_yaml=openapi.yaml profile_html=web/profile.html)

# The page, joined from its parts (cmake/page.cmake).
set(page_folder ${CMAKE_BINARY_DIR}/page)
set(page_files ${page_folder}/page.html ${page_folder}/etag
  ${page_folder}/script_hash ${page_folder}/style_hash)
file(GLOB page_parts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/page/*)
add_custom_command(OUTPUT ${page_files}
  COMMAND ${CMAKE_COMMAND} -DFROM=${CMAKE_SOURCE_DIR}/web/page -DTO=${page_folder}
    -P ${CMAKE_SOURCE_DIR}/cmake/page.cmake
  DEPENDS ${page_parts} ${CMAKE_SOURCE_DIR}/cmake/page.cmake
  COMMENT "Joining the page" VERBATIM)

set(embed_source ${CMAKE_BINARY_DIR}/embed.S)
set(embed_files)
set(embed_text "/* Made by cmake/embed.cmake. */\n.section .rodata\n")
function(embed name file)
  set(name embed_${name})
  set(bytes "")
  if(EXISTS ${file} OR file IN_LIST page_files)
    set(bytes ".incbin \"${file}\"")
    list(APPEND embed_files ${file})
  else()
    message(WARNING "${file} is missing: ${name} will be empty")
  endif()
  string(APPEND embed_text
    ".global ${name}\n.balign 64\n${name}:\n${bytes}\n${name}_end:\n.byte 0\n"
    ".global ${name}_size\n.balign 8\n${name}_size:\n.quad ${name}_end - ${name}\n")
  set(embed_files ${embed_files} PARENT_SCOPE)
  set(embed_text "${embed_text}" PARENT_SCOPE)
endfunction()
foreach(entry ${SMALLMIND_EMBEDDED})
  string(REGEX MATCH "^([^=]+)=(.+)$" entry ${entry})
  embed(${CMAKE_MATCH_1} ${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_2})
endforeach()
embed(page_html ${page_folder}/page.html)
foreach(name etag script_hash style_hash)
  embed(page_${name} ${page_folder}/${name})
endforeach()
string(APPEND embed_text ".section .note.GNU-stack,\"\",%progbits\n")
file(CONFIGURE OUTPUT ${embed_source} CONTENT "${embed_text}" @ONLY)

add_library(sm_embed STATIC ${embed_source} ${page_files})
set_source_files_properties(${embed_source} PROPERTIES OBJECT_DEPENDS "${embed_files}")
target_link_libraries(sm_report PUBLIC sm_embed)
