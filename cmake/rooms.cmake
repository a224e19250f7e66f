# A room is one folder, one static library and one include path of its own. Headers are included as
# "room/header.h"; the path that makes "room/" resolve belongs to the room's target, so an include of a room
# that is not linked does not build. That is how the direction of knowledge is kept.
function(holdfast_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;KNOWS;LIBRARIES" ${ARGN})
  set(include_dir ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${include_dir})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${include_dir}/${name} SYMBOLIC)
  add_library(${name} STATIC ${ROOM_SOURCES})
  target_compile_options(${name} PRIVATE ${HOLDFAST_WARNINGS})
  target_include_directories(${name} PUBLIC ${include_dir})
  target_link_libraries(${name} PUBLIC ${ROOM_KNOWS} ${ROOM_LIBRARIES} Threads::Threads)
endfunction()

# A program of a room: its main file beside the room's library.
function(holdfast_program name main room)
  add_executable(${name} ${main})
  target_compile_options(${name} PRIVATE ${HOLDFAST_WARNINGS})
  target_link_libraries(${name} PRIVATE ${room})
endfunction()

# A CMocka unit test: holdfast_unit_test(room test_name.c), linked with that room only.
function(holdfast_unit_test room source)
  get_filename_component(stem ${source} NAME_WE)
  set(target ${room}_${stem})
  add_executable(${target} ${source})
  target_compile_options(${target} PRIVATE ${HOLDFAST_WARNINGS})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit) # fixtures of several rooms
  target_link_libraries(${target} PRIVATE ${room} cmocka ${ARGN})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME unit/${room}/${stem} COMMAND ${target})
  set_tests_properties(unit/${room}/${stem} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# Its label is `threads`, too: ThreadSanitizer runs it.
function(holdfast_threaded_test room source)
  holdfast_unit_test(${room} ${source} ${ARGN})
  get_filename_component(stem ${source} NAME_WE)
  set_tests_properties(unit/${room}/${stem} PROPERTIES LABELS "unit;threads")
  add_dependencies(threaded_tests ${room}_${stem})
endfunction()
