#include "checksum.h"

#include <array>
#include <cstring>

namespace {

/* tables[k][b]: byte b followed by k zero bytes; eight bytes are taken in each step. */
std::array<std::array<uint32_t, 256>, 8> make_tables()
{
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t rest = b;
    for (int bit = 0; bit < 8; bit++) rest = (rest >> 1) ^ (rest & 1 ? 0xedb88320u : 0);
    tables[0][b] = rest;
  }
  for (int k = 1; k < 8; k++)
    for (uint32_t b = 0; b < 256; b++) {
      const uint32_t before = tables[k - 1][b];
      tables[k][b] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}

}    // namespace

uint32_t mlip::crc32_of(const char *bytes, size_t n_bytes)
{
  static const auto tables = make_tables();
  uint32_t rest = 0xffffffffu;
  size_t k = 0;
  for (; k + 8 <= n_bytes; k += 8) {
    unsigned char b[8];
    std::memcpy(b, bytes + k, 8);
    for (int m = 0; m < 4; m++) b[m] ^= (rest >> (8 * m)) & 0xff;
    rest = 0;
    for (int m = 0; m < 8; m++) rest ^= tables[7 - m][b[m]];
  }
  for (; k < n_bytes; k++) rest = (rest >> 8) ^ tables[0][(rest ^ static_cast<unsigned char>(bytes[k])) & 0xff];
  return ~rest;
}
