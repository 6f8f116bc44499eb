// Python's pickle format, read as data: opcodes build a tree of values and nothing is ever called.
// Opcodes: CPython's Lib/pickletools.py. Only those of protocols 2 to 5 that torch.save and NumPy
// write are known.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_reader.h"

namespace lethe::pickle {

enum class Kind {
    none,
    boolean,      // integer: 0 or 1
    integer,      // integer
    big_integer,  // text: more than 8 bytes, little-endian two's complement
    real,         // real
    text,         // text: str, bytes or bytearray
    tuple,        // items
    list,         // items; sets too
    dict,         // items: key, value, key, value, ... in the order of assignment; equal keys are kept
    global,       // text: "module.name"
    call,         // items: callable (a global), arguments (a tuple), and the states its result was given, if any.
                  // Recorded, not made.
    persistent,   // items: the id of something stored outside the pickle
};

// Items may be shared and may form cycles: walk them with a bound.
struct Value {
    Kind kind = Kind::none;
    int32_t depth = 0;  // how deep the containers below it are nested, when they were put in
    int64_t integer = 0;
    double real = 0;
    std::string text;
    std::vector<const Value*> items;

    bool is(Kind other) const { return kind == other; }
};

struct Pickle {
    std::deque<Value> values;  // owns everything below; flat, so deep nesting cannot exhaust the stack
    const Value* root = nullptr;
    std::vector<const Value*> persistent;  // every Kind::persistent value, in the order of appearance
};

// Reads one pickle, up to and including its STOP. `is_known("module.name")` decides which names a file may mention.
// Throws Error: truncated, unknown opcode or name, malformed, or absurdly large.
Pickle read(ByteReader& in, bool (*is_known)(std::string_view));

}  // namespace lethe::pickle
