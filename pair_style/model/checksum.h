/* CRC-32 of zip archives (polynomial 0xedb88320). */

#ifndef MLIP_CHECKSUM_H
#define MLIP_CHECKSUM_H

#include <cstddef>
#include <cstdint>

namespace mlip {

uint32_t crc32_of(const char *bytes, size_t n_bytes);

}    // namespace mlip

#endif
