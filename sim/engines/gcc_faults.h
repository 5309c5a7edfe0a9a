// What keeps GCC from compiling a model wrongly; every other compiler ignores it.
//
// GCC 12.2 (Debian 12) at -O1 takes `one.curr != other.curr` of CXXRTL's values for what it was in the pass of the loop before, where a
// function that was given the address of `other` has changed it since. -O0 and -O2 are right, and so is -O1 without this analysis of
// what a function reads and writes. tests/sim/test_registers.py has such a program.
#pragma GCC optimize("no-ipa-modref")
