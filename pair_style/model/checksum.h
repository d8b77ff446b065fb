/* CRC-32 of zip archives (polynomial 0xedb88320). */

#ifndef MLIP_CHECKSUM_H
#define MLIP_CHECKSUM_H

#include <cstdint>
#include <string>

namespace mlip {

uint32_t crc32_of(const std::string &bytes);

}    // namespace mlip

#endif
