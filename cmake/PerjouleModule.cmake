# One way to declare a module. folder = namespace = target, and arrows point only down.
#
#   perjoule_module(NAME energy LAYER 1 DEPS base SOURCES a.cc TESTS a_test.cc [LIBS fmt::fmt] [TEST_LIBS ...] [TEST_DEPS ...])
#
# makes the static library `perjoule_energy` (alias perjoule::energy), records its layer, and refuses an edge to a
# module that is not in a lower layer. TESTS become one GoogleTest program `perjoule_energy_test`; TEST_DEPS are
# modules that only the tests may use (they too must not lie above the module's layer).
# A module of headers alone gives no SOURCES.

define_property(TARGET PROPERTY PERJOULE_LAYER BRIEF_DOCS "layer of the house" FULL_DOCS "0 base .. 6 apps")

function(perjoule_check_edge name layer dep strict)
  if(NOT TARGET perjoule_${dep})
    message(FATAL_ERROR "module ${name}: unknown dependency '${dep}' (declare it before, in src/CMakeLists.txt)")
  endif()
  get_target_property(dep_layer perjoule_${dep} PERJOULE_LAYER)
  if(dep_layer GREATER layer OR (strict AND dep_layer EQUAL layer))
    message(FATAL_ERROR "module ${name} (layer ${layer}) may not use ${dep} (layer ${dep_layer}): arrows point only down")
  endif()
endfunction()

function(perjoule_module)
  cmake_parse_arguments(M "" "NAME;LAYER" "DEPS;SOURCES;TESTS;LIBS;TEST_LIBS;TEST_DEPS" ${ARGN})
  set(target perjoule_${M_NAME})
  if(M_SOURCES)
    add_library(${target} STATIC ${M_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(perjoule::${M_NAME} ALIAS ${target})
  set_target_properties(${target} PROPERTIES PERJOULE_LAYER ${M_LAYER})
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)
  foreach(dep IN LISTS M_DEPS)
    perjoule_check_edge(${M_NAME} ${M_LAYER} ${dep} TRUE)
    target_link_libraries(${target} ${scope} perjoule_${dep})
  endforeach()
  if(M_SOURCES)
    target_link_libraries(${target} PRIVATE perjoule_warnings ${M_LIBS})
  endif()
  if(M_TESTS AND PERJOULE_TESTS)
    add_executable(${target}_test ${M_TESTS})
    foreach(dep IN LISTS M_TEST_DEPS)
      perjoule_check_edge("${M_NAME} tests" ${M_LAYER} ${dep} FALSE)
      target_link_libraries(${target}_test PRIVATE perjoule_${dep})
    endforeach()
    target_link_libraries(${target}_test PRIVATE ${target} perjoule_warnings ${M_LIBS} ${M_TEST_LIBS} GTest::gtest_main)
    target_compile_definitions(${target}_test PRIVATE PERJOULE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    add_test(NAME ${M_NAME} COMMAND ${target}_test WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  endif()
endfunction()
