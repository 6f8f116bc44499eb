#include "data/pickle.h"

#include "data/pytorch.h"
#include "fuzz/targets.h"

namespace lethe::fuzz {

// The interpreter, then the search for tensors in what it built. Every storage is the same kilobyte.
void load_pickle(Bytes bytes) {
    static const std::vector<uint8_t> storage(1024, 0x3c);
    ByteReader in(bytes);
    const pickle::Pickle object = pickle::read(in, pytorch::is_known_name);
    require(object.root != nullptr, "a pickle that was read has a value");
    MemoryBudget budget(bytes.size());
    pytorch::read_state(
        *object.root, [](const pytorch::StorageReference&) { return Bytes(storage); }, budget);
}

}  // namespace lethe::fuzz
