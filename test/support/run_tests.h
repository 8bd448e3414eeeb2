#pragma once

/// Catch2's session, compiled once for all test programs (it takes as long as twenty test files).
int run_tests(int argc, char** argv);
