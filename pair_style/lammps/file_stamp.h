/* Detects whether a file was replaced or changed since the stamp was taken. */

#ifndef MLIP_FILE_STAMP_H
#define MLIP_FILE_STAMP_H

#include <string>
#include <sys/stat.h>

namespace mlip {

class FileStamp {
 public:
  explicit FileStamp(const std::string &path) : path(path) { is_there = stat(path.c_str(), &status) == 0; }

  /* False for a missing file: it cannot be the same file as before. */
  bool is_replaced() const
  {
    const FileStamp now(path);
    return is_there && now.is_there &&
        (now.status.st_ino != status.st_ino || now.status.st_size != status.st_size ||
         now.status.st_mtim.tv_sec != status.st_mtim.tv_sec || now.status.st_mtim.tv_nsec != status.st_mtim.tv_nsec);
  }

 private:
  std::string path;
  struct stat status = {};
  bool is_there = false;
};

}    // namespace mlip

#endif
