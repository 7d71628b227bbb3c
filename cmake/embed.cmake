# Files that the program carries inside itself, as symbols of an assembler file: embed_NAME (64-byte
# aligned) and embed_NAME_size (8 bytes). embed/embed.h declares them.
set(SMALLMIND_EMBEDDED
  model=models/smallmind-tiny.gguf openapi_yaml=openapi.yaml profile_html=web/profile.html)

set(embed_source ${CMAKE_BINARY_DIR}/embed.S)
set(embed_files)
set(embed_text "/* Made by cmake/embed.cmake. */\n.section .rodata\n")
foreach(entry ${SMALLMIND_EMBEDDED})
  string(REGEX MATCH "^([^=]+)=(.+)$" entry ${entry})
  set(name embed_${CMAKE_MATCH_1})
  set(file ${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_2})
  set(bytes "")
  if(EXISTS ${file})
    set(bytes ".incbin \"${file}\"")
    list(APPEND embed_files ${file})
  else()
    message(WARNING "${file} is missing: ${name} will be empty")
  endif()
  string(APPEND embed_text
    ".global ${name}\n.balign 64\n${name}:\n${bytes}\n${name}_end:\n.byte 0\n"
    ".global ${name}_size\n.balign 8\n${name}_size:\n.quad ${name}_end - ${name}\n")
endforeach()
string(APPEND embed_text ".section .note.GNU-stack,\"\",%progbits\n")
file(CONFIGURE OUTPUT ${embed_source} CONTENT "${embed_text}" @ONLY)

add_library(sm_embed STATIC ${embed_source})
set_source_files_properties(${embed_source} PROPERTIES OBJECT_DEPENDS "${embed_files}")
target_link_libraries(sm_report PUBLIC sm_embed)
