# Joins web/page/index.html with the style sheets and scripts that it names into one file without
# outside references, and writes what the HTTP side says of it. Run at build time:
#   cmake -DFROM=web/page -DTO=build/page -P cmake/page.cmake
# TO/page.html; TO/script_hash and TO/style_hash, as Content-Security-Policy has them; TO/etag.

# The hash of a text: sha256- and the base64 of its digest.
function(policy_hash text out)
  set(digits "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  string(SHA256 hex "${text}")
  set(hex "${hex}00") # 32 bytes are one short of a whole number of threes
  set(base64 "")
  foreach(at RANGE 0 60 6)
    string(SUBSTRING ${hex} ${at} 6 three)
    foreach(shift 18 12 6 0)
      math(EXPR digit "(0x${three} >> ${shift}) & 63")
      string(SUBSTRING ${digits} ${digit} 1 digit)
      string(APPEND base64 ${digit})
    endforeach()
  endforeach()
  string(REGEX REPLACE ".$" "=" base64 ${base64})
  set(${out} "sha256-${base64}" PARENT_SCOPE)
endfunction()

# Takes the tags that match out of the page, and appends the files they name to `out`.
function(take_files pattern out)
  string(REGEX MATCHALL "${pattern}" tags "${page}")
  set(text "")
  foreach(tag ${tags})
    string(REGEX MATCH "${pattern}" tag "${tag}")
    file(READ "${FROM}/${CMAKE_MATCH_1}" one)
    string(APPEND text "${one}")
    string(REPLACE "${tag}" "" page "${page}")
  endforeach()
  string(TOLOWER "${text}" lower)
  if(text STREQUAL "" OR lower MATCHES "</(script|style)" OR lower MATCHES "<!--")
    message(FATAL_ERROR "web/page: what ${pattern} names is empty, or would end its own tag")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
  set(page "${page}" PARENT_SCOPE)
endfunction()

file(READ "${FROM}/index.html" page)
take_files("<link rel=\"stylesheet\" href=\"([a-z_]+\\.css)\">\n" style)
take_files("<script src=\"([a-z_]+\\.js)\"></script>\n" script)
set(script "\"use strict\";\n{\n${script}}\n") # a block: nothing of it is global
string(REPLACE "</head>" "<style>${style}</style>\n</head>" page "${page}")
string(REPLACE "</body>" "<script>${script}</script>\n</body>" page "${page}")

policy_hash("${style}" style_hash)
policy_hash("${script}" script_hash)
string(SHA256 etag "${page}")
string(SUBSTRING ${etag} 0 32 etag)
file(WRITE "${TO}/page.html" "${page}")
file(WRITE "${TO}/style_hash" "${style_hash}")
file(WRITE "${TO}/script_hash" "${script_hash}")
file(WRITE "${TO}/etag" "\"${etag}\"")
