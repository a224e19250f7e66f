# Warnings are errors, for GCC and Clang alike. Generated code is compiled without them (see rooms.cmake).
add_compile_definitions(_GNU_SOURCE)
set(HOLDFAST_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wformat=2 -Wvla -Werror)
add_compile_options(-fno-omit-frame-pointer -fstack-protector-strong)
if(HOLDFAST_SANITIZE)
  add_compile_options(-fsanitize=${HOLDFAST_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HOLDFAST_SANITIZE})
else()
  add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
endif()
