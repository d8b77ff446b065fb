/* Reads stored (uncompressed) members of a zip archive, the format of .pt2 files. */

#ifndef MLIP_ARCHIVE_H
#define MLIP_ARCHIVE_H

#include "pages.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mlip {

/* Messages: a file that is not a compiled model, with the next step, which never writes over the file; and the next
   step for a compiled model that cannot be used. */
std::string not_a_model(const std::string &path, const std::string &why);
std::string make_again(const std::string &path);

class Archive {
 public:
  /* Opens the file and reads its table of contents. Throws std::runtime_error with a message for the user. */
  explicit Archive(const std::string &path);

  /* Names of the members whose path, below the archive's root folder, starts with prefix and ends with suffix. */
  std::vector<std::string> find(const std::string &prefix, const std::string &suffix) const;

  /* Throws std::runtime_error also if the content does not match its checksums. */
  std::string read(const std::string &name) const;
  /* The same for a large member. */
  Pages read_pages(const std::string &name) const;

  /* Whether the file lists the checksum of every member, beside those of the zip format. */
  bool has_checksums() const { return !checksums.empty(); }

 private:
  struct Member {
    std::string name;
    uint64_t header_offset, size;
    uint32_t crc;
    uint16_t method;
  };
  template <typename Bytes> Bytes read_as(const std::string &name) const;
  void read_table(const std::string &table, uint64_t n_members);
  void read_checksums();

  std::string path;
  uint64_t length = 0;
  std::vector<Member> members;
  std::map<std::string, uint32_t> checksums;    // by path below the archive's root folder
};

}    // namespace mlip

#endif
