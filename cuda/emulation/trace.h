// Following one thread through a kernel, and how the emulator's messages show places and threads.
#pragma once

#include <string>

#include "cuda/emulation/device.h"

namespace lethe::emulation {

// From now on prints a line to stderr for each barrier and warp operation of this thread of this block, in every
// launch. The environment variable LETHE_EMULATION_TRACE="block,thread" does the same for indices along x.
void watch(emulated::uint3 block, emulated::uint3 thread);
void watch_none();
bool is_watched_block(emulated::uint3 block);
bool is_watched_thread(emulated::uint3 thread);

void trace(const std::string& who, const std::string& what);

std::string show(emulated::uint3 index);    // (x,y,z)
std::string show(const Site& site);         // file:line without folders
std::string show_mask(std::uint32_t mask);  // 0x0000ffff

}  // namespace lethe::emulation
